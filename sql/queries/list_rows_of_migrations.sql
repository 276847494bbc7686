-- list_rows_of_migrations: the rows of clerk_backboard_migrations for operators, a page at a time, each as JSON.
-- word: only rows with this id; NULL for all.
-- after: the key of the last row of the page before; NULL for the first page.
-- page_size: the number of rows in a page.
SELECT ARRAY[page.version] AS key, row_to_json(page)::TEXT AS document
FROM (
    SELECT version, applied_at
    FROM clerk_backboard_migrations
    WHERE (%(word)s::TEXT IS NULL OR version = %(word)s::TEXT)
        AND (%(after)s::TEXT [] IS NULL OR version > (%(after)s::TEXT [])[1])
    ORDER BY version
    LIMIT %(page_size)s
) AS page
ORDER BY page.version;
