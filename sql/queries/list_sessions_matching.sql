-- list_sessions_matching: as list_sessions, but only sessions whose title or messages contain a text, in any case. The two
-- parts are apart so that each can use an index of its own.
-- user_id: the user.
-- pattern: a regular expression for the text in all of its spellings; the texts are compared as they were written.
-- statuses: which to look at; NULL for all.
-- last_active_at, session_id: those of the last session of the page before; NULL for the first page.
-- page_size: how many at most.
WITH matching AS (
    SELECT id
    FROM sessions
    WHERE user_id = %(user_id)s
        AND title ~* %(pattern)s
    UNION
    SELECT messages.session_id
    FROM messages
    INNER JOIN sessions ON sessions.id = messages.session_id
    WHERE sessions.user_id = %(user_id)s
        AND messages.content ~* %(pattern)s
)
SELECT
    sessions.id AS session_id, users.clerk_id, users.assistant_id AS assistant_id, sessions.thread_id, sessions.title,
    sessions.status, sessions.created_at, sessions.last_active_at, sessions.ended_at, sessions.scenario_slug,
    latest.id AS message_id, latest.role, latest.preview, latest.created_at AS message_created_at,
    coalesce(
        sessions.message_count, (SELECT count(position) FROM messages WHERE messages.session_id = sessions.id)
    ) AS message_count,
    users.deleted_at IS NOT NULL AS is_deleted
FROM matching
INNER JOIN sessions ON sessions.id = matching.id
INNER JOIN users ON users.id = sessions.user_id
LEFT JOIN LATERAL (
    SELECT id, role, substr(content, 1, 200) AS preview, created_at
    FROM messages
    WHERE session_id = sessions.id
    ORDER BY position DESC
    LIMIT 1
) AS latest ON TRUE
WHERE sessions.status = ANY(coalesce(%(statuses)s::TEXT[], ARRAY[sessions.status]))
    AND (sessions.last_active_at, sessions.id) < (
        coalesce(%(last_active_at)s::TIMESTAMPTZ, 'infinity'), coalesce(%(session_id)s::UUID, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    )
ORDER BY sessions.last_active_at DESC, sessions.id DESC
LIMIT %(page_size)s;
