-- get_attempt: what reconcile reads under lock_user in addition to get_user_state. Always one row.
-- Without an attempt row, tries and last_at are NULL; without a tombstone, had_tombstone is NULL.
-- clerk_id: the user's Clerk id.
-- started_at: the start of the run, by get_time.
SELECT
    provisioning_attempts.tries,
    provisioning_attempts.last_at,
    deleted_users.deleted_at < %(started_at)s AS had_tombstone
FROM (VALUES (%(clerk_id)s::TEXT)) AS wanted (clerk_id)
LEFT JOIN deleted_users ON deleted_users.clerk_id = wanted.clerk_id
LEFT JOIN provisioning_attempts ON provisioning_attempts.clerk_id = wanted.clerk_id;
