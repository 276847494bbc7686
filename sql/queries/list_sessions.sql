-- list_sessions: a user's sessions with the latest message in each, newest activity first, a page at a time.
-- user_id: the user.
-- last_active_at, session_id: those of the last session of the page before; NULL for the first page.
-- page_size: how many at most.
SELECT
    sessions.id AS session_id, users.clerk_id, users.assistant_id AS assistant_id, sessions.thread_id, sessions.title,
    sessions.status, sessions.created_at, sessions.last_active_at, sessions.ended_at,
    latest.id AS message_id, latest.role, latest.preview, latest.created_at AS message_created_at,
    users.deleted_at IS NOT NULL AS is_deleted
FROM sessions
INNER JOIN users ON users.id = sessions.user_id
LEFT JOIN LATERAL (
    SELECT id, role, substr(content, 1, 200) AS preview, created_at
    FROM messages
    WHERE session_id = sessions.id
    ORDER BY position DESC
    LIMIT 1
) AS latest ON TRUE
WHERE sessions.user_id = %(user_id)s
    AND (sessions.last_active_at, sessions.id) < (
        coalesce(%(last_active_at)s::TIMESTAMPTZ, 'infinity'), coalesce(%(session_id)s::UUID, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    )
ORDER BY sessions.last_active_at DESC, sessions.id DESC
LIMIT %(page_size)s;
