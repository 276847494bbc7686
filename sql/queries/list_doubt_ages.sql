-- list_doubt_ages: how many doubts are open in each table, and how old the oldest is in seconds, NULL without any.
SELECT 'provisioning_attempts' AS kind, count(clerk_id) AS number,
    extract('epoch' FROM now() - min(first_at))::FLOAT8 AS oldest_seconds
FROM provisioning_attempts
UNION ALL
SELECT 'session_attempts', count(session_id), extract('epoch' FROM now() - min(noted_at))::FLOAT8
FROM session_attempts
UNION ALL
SELECT 'deleted_threads', count(session_id), extract('epoch' FROM now() - min(deleted_at))::FLOAT8
FROM deleted_threads;
