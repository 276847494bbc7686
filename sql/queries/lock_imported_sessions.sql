-- lock_imported_sessions: hold sessions of live users until the transaction ends, so that nothing is added to them. No row
-- for one: it is not here, or another user's.
-- session_ids: which.
-- owner_id: the Clerk id of their user; NULL for sessions of any users.
SELECT sessions.id
FROM sessions
INNER JOIN users ON users.id = sessions.user_id
WHERE sessions.id = ANY(%(session_ids)s::UUID[])
    AND users.clerk_id = coalesce(%(owner_id)s::TEXT, users.clerk_id)
    AND users.deleted_at IS NULL
ORDER BY sessions.id
FOR NO KEY UPDATE OF sessions;
