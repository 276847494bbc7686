-- delete_user_deliveries: deletes what the history has of a user. Returns no row.
-- The last event of its type leaves its type and its time, in a row that is about no user: else the service would look
-- as if Clerk had not spoken since the event before.
-- clerk_id: the user's Clerk id.
WITH erased AS (
    DELETE FROM deliveries
    WHERE clerk_id = %(clerk_id)s
    RETURNING type, last_at, status, outcome, reason, resolved_at
)
INSERT INTO deliveries (
    svix_id, type, first_at, last_at, tries, status, outcome, reason, duration_ms, request_id, resolved_at
)
SELECT DISTINCT ON (erased.type)
    'erased_' || gen_random_uuid(), erased.type, erased.last_at, erased.last_at, 1, erased.status, erased.outcome,
    erased.reason, 0, 'erased', CASE WHEN erased.status >= 400 THEN coalesce(erased.resolved_at, now()) END
FROM erased
WHERE erased.type IS NOT NULL
    AND NOT EXISTS (
        SELECT
        FROM deliveries AS later
        WHERE later.type = erased.type
            AND later.last_at > erased.last_at
            AND later.clerk_id IS DISTINCT FROM %(clerk_id)s
    )
ORDER BY erased.type, erased.last_at DESC;
