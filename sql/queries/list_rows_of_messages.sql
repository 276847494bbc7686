-- list_rows_of_messages: the rows of messages for operators, a page at a time, each as JSON.
-- word: only rows with this id; NULL for all.
-- uuid: the same where it is a UUID, else NULL.
-- after: the key of the last row of the page before; NULL for the first page.
-- page_size: the number of rows in a page.
SELECT ARRAY[page.id::TEXT] AS key, row_to_json(page)::TEXT AS document
FROM (
    SELECT id, session_id, position, role, created_at, substr(content, 1, 2000) AS content, metadata, sent_metadata
    FROM messages
    WHERE (%(word)s::TEXT IS NULL OR id = %(uuid)s::UUID OR session_id = %(uuid)s::UUID)
        AND (%(after)s::TEXT [] IS NULL OR id > (%(after)s::TEXT [])[1]::UUID)
    ORDER BY id
    LIMIT %(page_size)s
) AS page
ORDER BY page.id;
