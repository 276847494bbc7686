-- insert_imported_preferences: preferences of another program, where the user has none here. No row: there are some.
-- clerk_id: the user.
-- document: a JSON object.
INSERT INTO preferences (user_id, document)
SELECT id, %(document)s::JSONB
FROM users
WHERE clerk_id = %(clerk_id)s
    AND deleted_at IS NULL
ON CONFLICT ON CONSTRAINT preferences_pkey DO NOTHING
RETURNING user_id;
