-- count_failing: the deliveries that failed and did not heal, and the users they hurt. Always one row.
SELECT count(svix_id) AS deliveries, count(DISTINCT clerk_id) AS people
FROM deliveries
WHERE status >= 500
    AND resolved_at IS NULL;
