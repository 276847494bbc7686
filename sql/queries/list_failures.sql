-- list_failures: the deliveries that failed and did not heal, counted by their reason, most first.
SELECT
    reason,
    count(svix_id) AS deliveries,
    count(DISTINCT clerk_id) AS people,
    min(first_at) AS since,
    max(last_at) AS last_at
FROM deliveries
WHERE status >= 500
    AND resolved_at IS NULL
GROUP BY reason
ORDER BY deliveries DESC, reason;
