-- lock_session: hold a session until the transaction ends, so that nothing is added to it. No row: as in find_session.
-- session_id, owner_id: as in find_session.
SELECT
    sessions.thread_id,
    users.deleted_at IS NOT NULL AS is_deleted
FROM sessions
INNER JOIN users ON users.id = sessions.user_id
WHERE sessions.id = %(session_id)s
    AND users.clerk_id = coalesce(%(owner_id)s::TEXT, users.clerk_id)
FOR UPDATE OF sessions;
