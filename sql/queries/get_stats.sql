-- get_stats: the figures of a user's sessions and messages. Always one row; without sessions the two times are NULL. The
-- tokens of a message are the member of that name in its metadata, a whole number of up to nine digits; anything else is
-- none. JSON of another type than a number is less than every number or more than every number, to Postgres.
-- user_id: the user.
SELECT
    count(sessions.id) AS sessions,
    coalesce(sum(said.by_user), 0)::BIGINT AS by_user,
    coalesce(sum(said.by_assistant), 0)::BIGINT AS by_assistant,
    coalesce(sum(said.tokens), 0)::BIGINT AS tokens,
    min(sessions.created_at) AS first_at,
    max(sessions.last_active_at) AS last_at
FROM sessions
CROSS JOIN LATERAL (
    SELECT
        count(id) FILTER (WHERE role = 'user') AS by_user,
        count(id) FILTER (WHERE role = 'assistant') AS by_assistant,
        sum((metadata -> 'tokens')::BIGINT) FILTER (
            WHERE CASE
                WHEN metadata -> 'tokens' BETWEEN '0' AND '999999999' THEN mod((metadata -> 'tokens')::NUMERIC, 1) = 0
            END
        ) AS tokens
    FROM messages
    WHERE session_id = sessions.id
) AS said
WHERE sessions.user_id = %(user_id)s;
