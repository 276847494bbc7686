-- list_actions: what operators have done, newest first, a page at a time.
-- clerk_id: only what was about this user; NULL for all.
-- before_id: the last id of the page before; NULL for the first page.
-- page_size: the number of rows in a page.
SELECT id, at, ended_at, who, action, clerk_id, result
FROM actions
WHERE (%(clerk_id)s::TEXT IS NULL OR clerk_id = %(clerk_id)s::TEXT)
    AND (%(before_id)s::BIGINT IS NULL OR id < %(before_id)s::BIGINT)
ORDER BY id DESC
LIMIT %(page_size)s;
