-- resolve_deliveries: marks failures of users who have a row or a tombstone by now as resolved, and returns their ids.
-- No try of an ensure-user comes under its id again, and Clerk's next try may be hours away.
-- No row as well where another process does it at the moment.
UPDATE deliveries
SET resolved_at = now()
WHERE svix_id IN (
    SELECT failed.svix_id
    FROM deliveries AS failed
    WHERE failed.status >= 500
        AND failed.resolved_at IS NULL
        AND failed.type IN ('ensure_user', 'user.created')
        AND (
            EXISTS (
                SELECT FROM users WHERE users.clerk_id = failed.clerk_id AND users.deleted_at IS NULL
            )
            OR EXISTS (SELECT FROM deleted_users WHERE deleted_users.clerk_id = failed.clerk_id)
        )
        AND (SELECT pg_try_advisory_xact_lock(hashtextextended('app:history', 0)))
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
)
RETURNING svix_id;
