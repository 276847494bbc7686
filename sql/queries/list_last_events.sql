-- list_last_events: when the last delivery of each type came, verified, to any process; ensure_user is one of them.
-- It goes from type to type through the index, so it takes as long for a million rows as for a hundred.
WITH RECURSIVE newest AS (
    (
        SELECT type, last_at
        FROM deliveries
        WHERE type IS NOT NULL
        ORDER BY type, last_at DESC
        LIMIT 1
    )
    UNION ALL
    SELECT following.type, following.last_at
    FROM newest
    CROSS JOIN LATERAL (
        SELECT type, last_at
        FROM deliveries
        WHERE type > newest.type
        ORDER BY type, last_at DESC
        LIMIT 1
    ) AS following
)
SELECT type, last_at, greatest(0, extract('epoch' FROM now() - last_at))::FLOAT8 AS age_seconds
FROM newest;
