-- record_deliveries: adds tries to the history, in one row for each delivery. Returns no row.
-- A row has what its last try had, until one succeeds; of those, one that changed something counts. The tries of two
-- processes come in any order, so the order in here says which one holds, and the same decides within a batch.
-- svix_ids: one for each try, the same as often as it was tried.
-- types, clerk_ids, times, statuses, outcomes, reasons, assistant_ids, secrets: one for each try.
-- Of an erased user nothing but the tombstone may come back: a try that ended before the tombstone, and is written
-- after the row is gone, counts for no user and has healed.
-- durations, backboard_times, db_times, request_ids: the same; the first three in milliseconds.
INSERT INTO deliveries (
    svix_id, first_at, last_at, tries, resolved_at, type, clerk_id, status, outcome, reason, assistant_id, secret,
    duration_ms, backboard_ms, db_ms, request_id
)
SELECT DISTINCT ON (attempt.svix_id)
    attempt.svix_id,
    min(attempt.at) OVER delivery,
    max(attempt.at) OVER delivery,
    count(attempt.svix_id) OVER delivery,
    CASE
        WHEN max(attempt.status) OVER delivery >= 500 AND erased.clerk_id IS NOT NULL THEN erased.deleted_at
        WHEN max(attempt.status) OVER delivery >= 500
            THEN min(attempt.at) FILTER (WHERE attempt.status < 400) OVER delivery
    END,
    attempt.type,
    CASE WHEN erased.clerk_id IS NULL THEN attempt.clerk_id END,
    attempt.status, attempt.outcome, attempt.reason,
    CASE WHEN erased.clerk_id IS NULL THEN attempt.assistant_id END,
    attempt.secret, attempt.duration_ms, attempt.backboard_ms, attempt.db_ms, attempt.request_id
FROM unnest(
    %(svix_ids)s::TEXT[], %(types)s::TEXT[], %(clerk_ids)s::TEXT[], %(times)s::TIMESTAMPTZ[], %(statuses)s::BIGINT[],
    %(outcomes)s::TEXT[], %(reasons)s::TEXT[], %(assistant_ids)s::TEXT[], %(secrets)s::BIGINT[],
    %(durations)s::FLOAT8[], %(backboard_times)s::FLOAT8[], %(db_times)s::FLOAT8[], %(request_ids)s::TEXT[]
) AS attempt (
    svix_id, type, clerk_id, at, status, outcome, reason, assistant_id, secret,
    duration_ms, backboard_ms, db_ms, request_id
)
LEFT JOIN deleted_users AS erased
    ON erased.clerk_id = attempt.clerk_id
        AND erased.deleted_at >= attempt.at
        AND NOT EXISTS (SELECT FROM users WHERE users.clerk_id = attempt.clerk_id)
WINDOW delivery AS (PARTITION BY attempt.svix_id)
ORDER BY
    attempt.svix_id,
    (attempt.outcome IN ('created', 'updated', 'deleted')) IS TRUE DESC,
    attempt.status < 400 DESC,
    attempt.at DESC
ON CONFLICT ON CONSTRAINT deliveries_pkey
DO UPDATE SET
    first_at = least(deliveries.first_at, excluded.first_at),
    last_at = greatest(deliveries.last_at, excluded.last_at),
    tries = deliveries.tries + excluded.tries,
    resolved_at = coalesce(
        deliveries.resolved_at,
        excluded.resolved_at,
        CASE
            WHEN deliveries.status < 400 AND excluded.status >= 500 THEN deliveries.last_at
            WHEN deliveries.status >= 500 AND excluded.status < 400 THEN excluded.last_at
        END
    ),
    (
        type, clerk_id, status, outcome, reason, assistant_id, secret, duration_ms, backboard_ms, db_ms, request_id
    ) = (
        SELECT
            attempt.type, attempt.clerk_id, attempt.status, attempt.outcome, attempt.reason, attempt.assistant_id,
            attempt.secret, attempt.duration_ms, attempt.backboard_ms, attempt.db_ms, attempt.request_id
        FROM (
            VALUES
            (
                deliveries.type, deliveries.clerk_id, deliveries.last_at, deliveries.status, deliveries.outcome,
                deliveries.reason, deliveries.assistant_id, deliveries.secret, deliveries.duration_ms,
                deliveries.backboard_ms, deliveries.db_ms, deliveries.request_id
            ),
            (
                excluded.type, excluded.clerk_id, excluded.last_at, excluded.status, excluded.outcome,
                excluded.reason, excluded.assistant_id, excluded.secret, excluded.duration_ms,
                excluded.backboard_ms, excluded.db_ms, excluded.request_id
            )
        ) AS attempt (
            type, clerk_id, at, status, outcome, reason, assistant_id, secret,
            duration_ms, backboard_ms, db_ms, request_id
        )
        ORDER BY
            (attempt.outcome IN ('created', 'updated', 'deleted')) IS TRUE DESC,
            attempt.status < 400 DESC,
            attempt.at DESC
        LIMIT 1
    );
