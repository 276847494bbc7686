-- list_rows_of_provisioning_attempts: the rows of provisioning_attempts for operators, a page at a time, each as JSON.
-- word: only rows with this id; NULL for all.
-- after: the key of the last row of the page before; NULL for the first page.
-- page_size: the number of rows in a page.
SELECT ARRAY[page.clerk_id] AS key, row_to_json(page)::TEXT AS document
FROM (
    SELECT clerk_id, tries, first_at, last_at, resolved_at
    FROM provisioning_attempts
    WHERE (%(word)s::TEXT IS NULL OR clerk_id = %(word)s::TEXT)
        AND (%(after)s::TEXT [] IS NULL OR clerk_id > (%(after)s::TEXT [])[1])
    ORDER BY clerk_id
    LIMIT %(page_size)s
) AS page
ORDER BY page.clerk_id;
