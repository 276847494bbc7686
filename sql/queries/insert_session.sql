-- insert_session: a session whose thread exists. No row comes back, and none is made for a deleted user or for a thread
-- that another session has; find_session then finds nothing.
-- session_id, user_id, thread_id, title, idempotency_key, scenario_slug: as in the table.
INSERT INTO sessions
(id, user_id, thread_id, title, idempotency_key, idempotency_title, scenario_slug, message_count)
SELECT
    %(session_id)s, users.id, %(thread_id)s, %(title)s, %(idempotency_key)s::TEXT,
    CASE WHEN %(idempotency_key)s::TEXT IS NOT NULL THEN %(title)s END,
    %(scenario_slug)s::TEXT, 0
FROM users
WHERE users.id = %(user_id)s
    AND users.deleted_at IS NULL
    AND NOT EXISTS (SELECT FROM sessions WHERE thread_id = %(thread_id)s);
