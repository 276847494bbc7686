-- list_user_documents: every row that is about a user, but for messages, whole and as JSON. No row: there is nothing.
-- clerk_id: the user.
SELECT document.kind, document.content
FROM (
    SELECT 1 AS place, 'user' AS kind, to_jsonb(users)::TEXT AS content, created_at AS at
    FROM users
    WHERE clerk_id = %(clerk_id)s
    UNION ALL
    SELECT 2, 'tombstone', to_jsonb(deleted_users)::TEXT, deleted_at
    FROM deleted_users
    WHERE clerk_id = %(clerk_id)s
    UNION ALL
    SELECT 3, 'provisioning_attempt', to_jsonb(provisioning_attempts)::TEXT, first_at
    FROM provisioning_attempts
    WHERE clerk_id = %(clerk_id)s
    UNION ALL
    SELECT 4, 'session_attempt', to_jsonb(session_attempts)::TEXT, noted_at
    FROM session_attempts
    WHERE clerk_id = %(clerk_id)s
    UNION ALL
    SELECT 5, 'preferences', to_jsonb(preferences)::TEXT, preferences.updated_at
    FROM preferences
    INNER JOIN users ON users.id = preferences.user_id
    WHERE users.clerk_id = %(clerk_id)s
    UNION ALL
    SELECT 6, 'deleted_thread', to_jsonb(deleted_threads)::TEXT, deleted_threads.deleted_at
    FROM deleted_threads
    INNER JOIN users ON users.id = deleted_threads.user_id
    WHERE users.clerk_id = %(clerk_id)s
    UNION ALL
    SELECT 7, 'delivery', to_jsonb(deliveries)::TEXT, first_at
    FROM deliveries
    WHERE clerk_id = %(clerk_id)s
    UNION ALL
    SELECT 8, 'action', to_jsonb(actions)::TEXT, at
    FROM actions
    WHERE clerk_id = %(clerk_id)s
    UNION ALL
    SELECT 9, 'session', to_jsonb(sessions)::TEXT, sessions.created_at
    FROM sessions
    INNER JOIN users ON users.id = sessions.user_id
    WHERE users.clerk_id = %(clerk_id)s
) AS document
ORDER BY document.place, document.at;
