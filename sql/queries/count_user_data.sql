-- count_user_data: how many rows of each kind belong to a user. Always one row.
-- An erasure under way, which may be the one that asks, does not count as an action.
-- clerk_id: the user's Clerk id.
WITH person AS (
    SELECT id
    FROM users
    WHERE clerk_id = %(clerk_id)s
), talks AS (
    SELECT sessions.id
    FROM sessions
    INNER JOIN person ON person.id = sessions.user_id
)
SELECT
    (SELECT count(id) FROM person) AS users,
    (SELECT count(id) FROM talks) AS sessions,
    (SELECT count(messages.id) FROM messages INNER JOIN talks ON talks.id = messages.session_id) AS messages,
    (SELECT count(user_id) FROM preferences INNER JOIN person ON person.id = preferences.user_id) AS preferences,
    (SELECT count(session_id) FROM deleted_threads INNER JOIN person ON person.id = deleted_threads.user_id)
        AS deleted_threads,
    (SELECT count(session_id) FROM session_attempts WHERE clerk_id = %(clerk_id)s) AS session_attempts,
    (SELECT count(svix_id) FROM deliveries WHERE clerk_id = %(clerk_id)s) AS deliveries,
    (
        SELECT count(id) FROM actions
        WHERE clerk_id = %(clerk_id)s AND NOT (action = 'erase' AND ended_at IS NULL)
    ) AS actions;
