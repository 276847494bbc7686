-- list_rows_of_processes: the rows of processes for operators, a page at a time, each as JSON.
-- word: only rows with this id; NULL for all.
-- after: the key of the last row of the page before; NULL for the first page.
-- page_size: the number of rows in a page.
SELECT ARRAY[page.id::TEXT] AS key, row_to_json(page)::TEXT AS document
FROM (
    SELECT id, host, release, version, started_at, seen_at, last_event_at, breaker, lost, lost_at, writes, pools
    FROM processes
    WHERE (%(word)s::TEXT IS NULL OR id = %(word)s::TEXT OR host = %(word)s::TEXT)
        AND (%(after)s::TEXT [] IS NULL OR id > (%(after)s::TEXT [])[1])
    ORDER BY id
    LIMIT %(page_size)s
) AS page
ORDER BY page.id;
