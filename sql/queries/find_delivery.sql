-- find_delivery: one row of the history. No row: there is none under that id, or none any more.
-- svix_id: its id.
SELECT
    svix_id, type, clerk_id, first_at, last_at, tries, status, outcome, reason, assistant_id, secret,
    duration_ms, backboard_ms, db_ms, request_id, resolved_at
FROM deliveries
WHERE svix_id = %(svix_id)s;
