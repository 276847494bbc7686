-- list_rows_of_deliveries: the rows of deliveries for operators, a page at a time, each as JSON.
-- word: only rows with this id; NULL for all.
-- after: the key of the last row of the page before; NULL for the first page.
-- page_size: the number of rows in a page.
SELECT ARRAY[page.last_at::TEXT, page.svix_id] AS key, row_to_json(page)::TEXT AS document
FROM (
    SELECT
        last_at, svix_id, type, clerk_id, status, outcome, reason, tries, first_at, resolved_at, assistant_id, secret,
        duration_ms, backboard_ms, db_ms, request_id
    FROM deliveries
    WHERE (%(word)s::TEXT IS NULL OR svix_id = %(word)s::TEXT OR clerk_id = %(word)s::TEXT OR request_id = %(word)s::TEXT)
        AND (
            %(after)s::TEXT [] IS NULL
            OR (last_at, svix_id) < ((%(after)s::TEXT [])[1]::TIMESTAMPTZ, (%(after)s::TEXT [])[2])
        )
    ORDER BY last_at DESC, svix_id DESC
    LIMIT %(page_size)s
) AS page
ORDER BY page.last_at DESC, page.svix_id DESC;
