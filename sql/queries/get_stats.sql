-- get_stats: the figures of a user's sessions and messages. Always one row; without sessions the two times are NULL.
-- user_id: the user.
SELECT
    count(sessions.id) AS sessions,
    coalesce(sum(said.by_user), 0)::BIGINT AS by_user,
    coalesce(sum(said.by_assistant), 0)::BIGINT AS by_assistant,
    min(sessions.created_at) AS first_at,
    max(sessions.last_active_at) AS last_at
FROM sessions
CROSS JOIN LATERAL (
    SELECT
        count(id) FILTER (WHERE role = 'user') AS by_user,
        count(id) FILTER (WHERE role = 'assistant') AS by_assistant
    FROM messages
    WHERE session_id = sessions.id
) AS said
WHERE sessions.user_id = %(user_id)s;
