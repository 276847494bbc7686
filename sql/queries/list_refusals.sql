-- list_refusals: what was refused although Clerk sent it, or may have: the verified events of a day that could not be
-- used, and the deliveries of an hour whose signature or time was refused, if no event was verified after them.
SELECT status, reason, count(svix_id) AS number, min(first_at) AS since, max(last_at) AS last_at
FROM deliveries
WHERE status = 422
    AND resolved_at IS NULL
    AND last_at > now() - interval '1 day'
GROUP BY status, reason
UNION ALL
SELECT refused.status, refused.reason, refused.number, refused.since, refused.last_at
FROM (
    SELECT status, reason, sum(number)::BIGINT AS number, min(slot) AS since, max(slot) AS last_at
    FROM outcome_counts
    WHERE slot > now() - interval '1 hour'
        AND event = 'webhook'
        AND status = 400
        AND reason IN ('signature', 'stale')
    GROUP BY status, reason
) AS refused
WHERE NOT EXISTS (
    SELECT
    FROM deliveries
    WHERE deliveries.last_at > refused.last_at
        AND deliveries.type IS DISTINCT FROM 'ensure_user'
)
ORDER BY number DESC, reason;
