-- list_doubts: what may have been left unfinished, oldest first.
-- page_size: the number of rows at most.
SELECT doubt.kind, doubt.clerk_id, doubt.session_id, doubt.since, doubt.last_at, doubt.tries
FROM (
    SELECT
        CASE
            WHEN attempt.resolved_at IS NULL AND (tomb.clerk_id IS NOT NULL OR users.deleted_at IS NOT NULL)
                THEN 'deletion'
            WHEN attempt.resolved_at IS NULL AND users.id IS NULL THEN 'sign_up'
            ELSE 'second_assistant'
        END AS kind,
        attempt.clerk_id,
        NULL::UUID AS session_id,
        attempt.first_at AS since,
        attempt.last_at,
        attempt.tries::BIGINT AS tries
    FROM provisioning_attempts AS attempt
    LEFT JOIN users ON users.clerk_id = attempt.clerk_id
    LEFT JOIN deleted_users AS tomb ON tomb.clerk_id = attempt.clerk_id
    UNION ALL
    SELECT 'session', clerk_id, session_id, noted_at, noted_at, 1
    FROM session_attempts
    UNION ALL
    SELECT 'thread', users.clerk_id, thread.session_id, thread.deleted_at, thread.deleted_at, 1
    FROM deleted_threads AS thread
    INNER JOIN users ON users.id = thread.user_id
) AS doubt
ORDER BY doubt.since, doubt.clerk_id, doubt.session_id
LIMIT %(page_size)s;
