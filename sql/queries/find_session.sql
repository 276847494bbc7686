-- find_session: one session, the latest message in it and the number of them. No row: there is none, or it is another user's.
-- Without messages the columns of the message are NULL.
-- session_id: the session.
-- owner_id: the Clerk id of the only user who may see it; NULL for the chat backend, which may see all.
SELECT
    sessions.id AS session_id, users.clerk_id, users.assistant_id AS assistant_id, sessions.thread_id, sessions.title,
    sessions.status, sessions.created_at, sessions.last_active_at, sessions.ended_at, sessions.scenario_slug,
    latest.id AS message_id, latest.role, latest.preview, latest.created_at AS message_created_at,
    coalesce(
        sessions.message_count, (SELECT count(position) FROM messages WHERE messages.session_id = sessions.id)
    ) AS message_count,
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
WHERE sessions.id = %(session_id)s
    AND users.clerk_id = coalesce(%(owner_id)s::TEXT, users.clerk_id);
