-- set_preferences: write a user's preferences. Always one row, or a check violation for what is too large.
-- user_id: the user.
-- document: a JSON object.
-- merge: whether members that it does not name stay.
INSERT INTO preferences AS kept (user_id, document)
VALUES (%(user_id)s, %(document)s::JSONB)
ON CONFLICT ON CONSTRAINT preferences_pkey
DO UPDATE SET
    document = CASE WHEN %(merge)s::BOOL THEN kept.document ELSE '{}' END || excluded.document,
    updated_at = now()
RETURNING document::TEXT AS document;
