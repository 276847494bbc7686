-- list_rows_of_sessions: the rows of sessions for operators, a page at a time, each as JSON.
-- word: only rows with this id; NULL for all.
-- uuid: the same where it is a UUID, else NULL.
-- after: the key of the last row of the page before; NULL for the first page.
-- page_size: the number of rows in a page.
SELECT ARRAY[page.id::TEXT] AS key, row_to_json(page)::TEXT AS document
FROM (
    SELECT
        id, user_id, title, status, message_count, scenario_slug, thread_id, created_at, last_active_at, ended_at,
        idempotency_key, idempotency_title
    FROM sessions
    WHERE (%(word)s::TEXT IS NULL OR id = %(uuid)s::UUID OR user_id = %(uuid)s::UUID OR thread_id = %(word)s::TEXT
        OR user_id = (SELECT users.id FROM users WHERE users.clerk_id = %(word)s::TEXT))
        AND (%(after)s::TEXT [] IS NULL OR id > (%(after)s::TEXT [])[1]::UUID)
    ORDER BY id
    LIMIT %(page_size)s
) AS page
ORDER BY page.id;
