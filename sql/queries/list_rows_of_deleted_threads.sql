-- list_rows_of_deleted_threads: the rows of deleted_threads for operators, a page at a time, each as JSON.
-- word: only rows with this id; NULL for all.
-- uuid: the same where it is a UUID, else NULL.
-- after: the key of the last row of the page before; NULL for the first page.
-- page_size: the number of rows in a page.
SELECT ARRAY[page.session_id::TEXT] AS key, row_to_json(page)::TEXT AS document
FROM (
    SELECT session_id, user_id, thread_id, deleted_at
    FROM deleted_threads
    WHERE (%(word)s::TEXT IS NULL OR session_id = %(uuid)s::UUID OR user_id = %(uuid)s::UUID OR thread_id = %(word)s::TEXT)
        AND (%(after)s::TEXT [] IS NULL OR session_id > (%(after)s::TEXT [])[1]::UUID)
    ORDER BY session_id
    LIMIT %(page_size)s
) AS page
ORDER BY page.session_id;
