-- find_users_by_email: the users whose address this is, in any case, the oldest first; several may have one. No row: there
-- is none, or the user was deleted, and the address with it.
-- email: the address.
SELECT clerk_id, name, created_at
FROM users
WHERE lower(email) = lower(%(email)s)
    AND deleted_at IS NULL
ORDER BY created_at, clerk_id;
