-- get_user_counts: figures that tell whether all is well. Always one row; newest_seconds is NULL where nobody is.
-- min_age: from how many seconds on an open doubt is not simply a sign-up under way.
-- settled_age: the same for a note whose row or tombstone stands; reconcile clears it when it is old enough.
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
