-- list_rows_of_preferences: the rows of preferences for operators, a page at a time, each as JSON.
-- word: only rows with this id; NULL for all.
-- uuid: the same where it is a UUID, else NULL.
-- after: the key of the last row of the page before; NULL for the first page.
-- page_size: the number of rows in a page.
SELECT ARRAY[page.user_id::TEXT] AS key, row_to_json(page)::TEXT AS document
FROM (
    SELECT user_id, updated_at, document
    FROM preferences
    WHERE (%(word)s::TEXT IS NULL OR user_id = %(uuid)s::UUID
        OR user_id = (SELECT users.id FROM users WHERE users.clerk_id = %(word)s::TEXT))
        AND (%(after)s::TEXT [] IS NULL OR user_id > (%(after)s::TEXT [])[1]::UUID)
    ORDER BY user_id
    LIMIT %(page_size)s
) AS page
ORDER BY page.user_id;
