-- list_deliveries: the history, newest first, a page at a time.
-- clerk_id, type, outcome, reason, status: only those; NULL for all.
-- failing: only what failed and did not heal.
-- since, until: only what was tried last since then and before then; NULL for all.
-- before_at, before_id: the last_at and the svix_id of the last row of the page before; NULL for the first page.
-- page_size: the number of rows in a page.
SELECT
    svix_id, type, clerk_id, first_at, last_at, tries, status, outcome, reason, assistant_id, secret,
    duration_ms, backboard_ms, db_ms, request_id, resolved_at
FROM deliveries
WHERE (%(clerk_id)s::TEXT IS NULL OR clerk_id = %(clerk_id)s::TEXT)
    AND (%(type)s::TEXT IS NULL OR type = %(type)s::TEXT)
    AND (%(outcome)s::TEXT IS NULL OR outcome = %(outcome)s::TEXT)
    AND (%(reason)s::TEXT IS NULL OR reason = %(reason)s::TEXT)
    AND (%(status)s::BIGINT IS NULL OR status = %(status)s::BIGINT)
    AND (NOT %(failing)s::BOOLEAN OR (status >= 500 AND resolved_at IS NULL))
    AND (%(since)s::TIMESTAMPTZ IS NULL OR last_at >= %(since)s::TIMESTAMPTZ)
    AND (%(until)s::TIMESTAMPTZ IS NULL OR last_at < %(until)s::TIMESTAMPTZ)
    AND (
        %(before_at)s::TIMESTAMPTZ IS NULL
        OR (last_at, svix_id) < (%(before_at)s::TIMESTAMPTZ, %(before_id)s::TEXT)
    )
ORDER BY last_at DESC, svix_id DESC
LIMIT %(page_size)s;
