-- update_session: another title, another status, or both; what is NULL stays. No row comes back: find_session says
-- whether there was one. A session that ends a second time keeps its first end.
-- session_id, owner_id: as in find_session.
-- title, status: as in the table.
UPDATE sessions
SET
    title = coalesce(%(title)s::TEXT, sessions.title),
    status = coalesce(%(status)s::TEXT, sessions.status),
    ended_at = CASE coalesce(%(status)s::TEXT, sessions.status)
        WHEN 'active' THEN NULL
        ELSE coalesce(sessions.ended_at, now())
    END
FROM users
WHERE sessions.id = %(session_id)s
    AND users.id = sessions.user_id
    AND users.deleted_at IS NULL
    AND users.clerk_id = coalesce(%(owner_id)s::TEXT, users.clerk_id);
