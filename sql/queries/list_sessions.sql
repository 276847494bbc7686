-- list_sessions: for each of several requests, a page of a user's sessions with the latest message in each, newest
-- activity first.
-- user_ids: one for each request.
-- last_active_at, session_ids: those of the last session of the page before; NULL for the first page.
-- page_sizes: how many at most.
SELECT
    session.id AS session_id, users.clerk_id, users.assistant_id, session.thread_id, session.title,
    session.status, session.created_at, session.last_active_at, session.ended_at,
    latest.id AS message_id, latest.role, latest.preview, latest.created_at AS message_created_at,
    users.deleted_at IS NOT NULL AS is_deleted, wanted.number
FROM unnest(%(user_ids)s::UUID[], %(last_active_at)s::TIMESTAMPTZ[], %(session_ids)s::UUID[], %(page_sizes)s::INT[])
    WITH ORDINALITY AS wanted (user_id, last_active_at, session_id, page_size, number)
INNER JOIN users ON users.id = wanted.user_id
CROSS JOIN LATERAL (
    SELECT id, thread_id, title, status, created_at, last_active_at, ended_at
    FROM sessions
    WHERE user_id = wanted.user_id
        AND (last_active_at, id) < (
            coalesce(wanted.last_active_at, 'infinity'),
            coalesce(wanted.session_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        )
    ORDER BY last_active_at DESC, id DESC
    LIMIT wanted.page_size
) AS session
LEFT JOIN LATERAL (
    SELECT id, role, substr(content, 1, 200) AS preview, created_at
    FROM messages
    WHERE session_id = session.id
    ORDER BY position DESC
    LIMIT 1
) AS latest ON TRUE
ORDER BY wanted.number, session.last_active_at DESC, session.id DESC;
