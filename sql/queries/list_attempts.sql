-- list_attempts: the attempt rows in the order of clerk_id, a page at a time, and the state of each user.
-- after_id: the last clerk_id of the page before, '' for the first page.
-- page_size: the number of rows in a page.
-- min_age: the age in seconds from which a row is old.
SELECT
    provisioning_attempts.clerk_id,
    users.id IS NOT NULL AND users.deleted_at IS NULL AS is_live,
    deleted_users.clerk_id IS NOT NULL OR users.deleted_at IS NOT NULL AS is_deleted,
    provisioning_attempts.last_at <= now() - make_interval(secs => %(min_age)s) AS is_old
FROM provisioning_attempts
LEFT JOIN users ON users.clerk_id = provisioning_attempts.clerk_id
LEFT JOIN deleted_users ON deleted_users.clerk_id = provisioning_attempts.clerk_id
WHERE provisioning_attempts.clerk_id > %(after_id)s
ORDER BY provisioning_attempts.clerk_id
LIMIT %(page_size)s;
