-- list_users: who has which assistant, in the order of clerk_id, a page at a time; nothing personal.
-- after_id: the last clerk_id of the page before, '' for the first page.
-- page_size: how many at most.
-- min_age: from how many seconds on a row counts as old.
SELECT
    clerk_id,
    assistant_id AS assistant_id,
    deleted_at IS NULL AS live,
    created_at <= now() - make_interval(secs => %(min_age)s) AS old
FROM users
WHERE clerk_id > %(after_id)s
ORDER BY clerk_id
LIMIT %(page_size)s;
