-- delete_message: take one message out of a session. No row: it is not there, or as in find_session. The session is locked
-- first, as everything does that changes the number of its messages.
-- message_id: which.
-- session_id, owner_id: as in find_session.
WITH reachable AS (
    SELECT sessions.id
    FROM sessions
    INNER JOIN users ON users.id = sessions.user_id
    WHERE sessions.id = %(session_id)s
        AND users.deleted_at IS NULL
        AND users.clerk_id = coalesce(%(owner_id)s::TEXT, users.clerk_id)
    FOR NO KEY UPDATE OF sessions
)
DELETE FROM messages
USING reachable
WHERE messages.id = %(message_id)s
    AND messages.session_id = reachable.id
RETURNING messages.id AS message_id;
