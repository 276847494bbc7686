-- count_doubts: what is unfinished, by what it is; the figures of doctor. Always one row.
-- min_age: the age in seconds from which it is more than a request under way.
-- settled_age: the same for a second assistant that may exist; reconcile deletes the attempt row from that age on.
SELECT
    count(kind) FILTER (WHERE is_young IS FALSE AND kind = 'sign_up') AS sign_ups,
    count(kind) FILTER (WHERE is_young IS FALSE AND kind = 'deletion') AS deletions,
    count(kind) FILTER (WHERE is_young IS FALSE AND kind = 'second') AS seconds,
    (
        SELECT count(session_id)
        FROM deleted_threads
        WHERE deleted_at <= now() - make_interval(secs => %(min_age)s)
    ) AS threads
FROM (
    SELECT
        CASE
            WHEN attempt.resolved_at IS NULL AND (tomb.clerk_id IS NOT NULL OR users.deleted_at IS NOT NULL)
                THEN 'deletion'
            WHEN attempt.resolved_at IS NULL AND users.id IS NULL THEN 'sign_up'
            ELSE 'second'
        END AS kind,
        attempt.last_at > now() - CASE
            WHEN attempt.resolved_at IS NULL THEN make_interval(secs => %(min_age)s)
            ELSE make_interval(secs => %(settled_age)s)
        END AS is_young
    FROM provisioning_attempts AS attempt
    LEFT JOIN users ON users.clerk_id = attempt.clerk_id
    LEFT JOIN deleted_users AS tomb ON tomb.clerk_id = attempt.clerk_id
) AS attempts;
