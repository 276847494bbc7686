-- list_users: each user and assistant in the order of clerk_id, a page at a time; no personal data.
-- after_id: the last clerk_id of the page before, '' for the first page.
-- page_size: the number of rows in a page.
-- min_age: the age in seconds from which a row is old.
SELECT
    clerk_id,
    assistant_id,
    deleted_at IS NULL AS is_live,
    created_at <= now() - make_interval(secs => %(min_age)s) AS is_old
FROM users
WHERE clerk_id > %(after_id)s
ORDER BY clerk_id
LIMIT %(page_size)s;
