-- find_deleted_thread: the thread of a deleted session that is still to be deleted at Backboard. No row: none is.
-- session_id, owner_id: as in find_session.
SELECT
    deleted_threads.thread_id,
    users.deleted_at IS NOT NULL AS is_deleted
FROM deleted_threads
INNER JOIN users ON users.id = deleted_threads.user_id
WHERE deleted_threads.session_id = %(session_id)s
    AND users.clerk_id = coalesce(%(owner_id)s::TEXT, users.clerk_id);
