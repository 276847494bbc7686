-- list_rows_of_actions: the rows of actions for operators, a page at a time, each as JSON.
-- word: only rows with this id; NULL for all.
-- after: the key of the last row of the page before; NULL for the first page.
-- page_size: the number of rows in a page.
SELECT ARRAY[page.id::TEXT] AS key, row_to_json(page)::TEXT AS document
FROM (
    SELECT id, at, ended_at, who, action, clerk_id, result
    FROM actions
    WHERE (%(word)s::TEXT IS NULL OR clerk_id = %(word)s::TEXT OR id::TEXT = %(word)s::TEXT)
        AND (%(after)s::TEXT [] IS NULL OR id < (%(after)s::TEXT [])[1]::BIGINT)
    ORDER BY id DESC
    LIMIT %(page_size)s
) AS page
ORDER BY page.id DESC;
