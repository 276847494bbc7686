-- get_attempt: what reconcile must know beside get_user_state, to be read under lock_user. Always one row.
-- Nothing noted: tries and last_at are NULL. No tombstone: stood_before is NULL.
-- clerk_id: whom.
-- started_at: when the run began, by get_time.
SELECT
    provisioning_attempts.tries,
    provisioning_attempts.last_at,
    deleted_users.deleted_at < %(started_at)s AS stood_before
FROM (VALUES (%(clerk_id)s::TEXT)) AS wanted (clerk_id)
LEFT JOIN deleted_users ON deleted_users.clerk_id = wanted.clerk_id
LEFT JOIN provisioning_attempts ON provisioning_attempts.clerk_id = wanted.clerk_id;
