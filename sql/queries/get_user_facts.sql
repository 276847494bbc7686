-- get_user_facts: what stands about one user beside the row in users. Always one row.
-- Without a tombstone, deleted_at is NULL; without an attempt row, tries and the three times behind it are.
-- clerk_id: the user.
SELECT
    tomb.deleted_at,
    attempt.tries::BIGINT AS tries,
    attempt.first_at,
    attempt.last_at,
    attempt.resolved_at,
    (SELECT count(id) FROM sessions WHERE user_id = person.id) AS sessions,
    (
        SELECT count(messages.id)
        FROM messages
        INNER JOIN sessions ON sessions.id = messages.session_id
        WHERE sessions.user_id = person.id
    ) AS messages,
    (SELECT max(last_active_at) FROM sessions WHERE user_id = person.id) AS active_at,
    (SELECT count(session_id) FROM session_attempts WHERE clerk_id = wanted.clerk_id) AS open_sessions,
    (SELECT count(session_id) FROM deleted_threads WHERE user_id = person.id) AS open_threads
FROM (VALUES (%(clerk_id)s::TEXT)) AS wanted (clerk_id)
LEFT JOIN users AS person ON person.clerk_id = wanted.clerk_id
LEFT JOIN deleted_users AS tomb ON tomb.clerk_id = wanted.clerk_id
LEFT JOIN provisioning_attempts AS attempt ON attempt.clerk_id = wanted.clerk_id;
