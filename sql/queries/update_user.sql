-- update_user: store a profile that is not older than the stored one. No row: the stored one is newer, or
-- the user is deleted, or there is no such user. The condition is tried again after a wait for the row, so
-- it holds beside any rival.
-- clerk_id, email, name, clerk_updated_at, last_sign_in_at: as in the table.
UPDATE users
SET
    email = %(email)s,
    name = %(name)s,
    clerk_updated_at = %(clerk_updated_at)s,
    last_sign_in_at = coalesce(%(last_sign_in_at)s, last_sign_in_at),
    updated_at = now()
WHERE clerk_id = %(clerk_id)s
    AND clerk_updated_at <= %(clerk_updated_at)s
    AND deleted_at IS NULL
RETURNING id, clerk_id, assistant_id, email, name, created_at, clerk_updated_at, last_sign_in_at, deleted_at;
