-- get_user_counts: the figures of doctor. Always one row; newest_seconds is NULL without users.
-- min_age: the age in seconds from which an attempt row is more than a sign-up under way.
-- settled_age: the same for a resolved attempt row; reconcile deletes it from that age on.
SELECT
    (SELECT count(id) FROM users WHERE deleted_at IS NULL) AS users,
    (
        SELECT count(clerk_id)
        FROM provisioning_attempts
        WHERE last_at <= now() - CASE
            WHEN resolved_at IS NULL THEN make_interval(secs => %(min_age)s)
            ELSE make_interval(secs => %(settled_age)s)
        END
    ) AS doubts,
    (SELECT extract('epoch' FROM now() - max(updated_at))::BIGINT FROM users) AS newest_seconds;
