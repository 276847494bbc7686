-- delete_session: take away an emptied session and remember that its thread, if it has one, is still to be deleted. No
-- row comes back.
-- session_id: which.
WITH deleted AS (
    DELETE FROM sessions
    WHERE id = %(session_id)s
    RETURNING id, user_id, thread_id
)
INSERT INTO deleted_threads (session_id, user_id, thread_id)
SELECT id, user_id, thread_id
FROM deleted
WHERE thread_id IS NOT NULL;
