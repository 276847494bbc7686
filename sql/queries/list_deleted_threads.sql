-- list_deleted_threads: threads of deleted sessions that are still to be deleted at Backboard, the oldest first.
-- min_age: the age in seconds from which the deletion is no longer under way.
-- clerk_id: only those of this user; NULL for all.
-- page_size: how many at most.
SELECT session_id, thread_id
FROM deleted_threads
WHERE deleted_at <= now() - make_interval(secs => %(min_age)s)
    AND (
        %(clerk_id)s::TEXT IS NULL
        OR user_id = (SELECT users.id FROM users WHERE users.clerk_id = %(clerk_id)s::TEXT)
    )
ORDER BY deleted_at, session_id
LIMIT %(page_size)s;
