-- list_rows_of_users: the rows of users for operators, a page at a time, each as JSON.
-- word: only rows with this id; NULL for all.
-- uuid: the same where it is a UUID, else NULL.
-- after: the key of the last row of the page before; NULL for the first page.
-- page_size: the number of rows in a page.
SELECT ARRAY[page.clerk_id] AS key, row_to_json(page)::TEXT AS document
FROM (
    SELECT
        clerk_id, id, assistant_id, email, name, image_url, created_at, updated_at, clerk_updated_at, clerk_event_at,
        last_sign_in_at, deleted_at
    FROM users
    WHERE (%(word)s::TEXT IS NULL OR clerk_id = %(word)s::TEXT OR assistant_id = %(word)s::TEXT OR id = %(uuid)s::UUID)
        AND (%(after)s::TEXT [] IS NULL OR clerk_id > (%(after)s::TEXT [])[1])
    ORDER BY clerk_id
    LIMIT %(page_size)s
) AS page
ORDER BY page.clerk_id;
