-- update_imported_user: fill what a row lacks from another program, as long as no event of Clerk's has spoken; what it has
-- stays, and an earlier day of sign-up holds. No row: nothing was to change.
-- clerk_id: the user.
-- email, name, image_url, created_at: as in the table; NULL for what the other program does not know.
UPDATE users
SET
    email = CASE WHEN clerk_updated_at = 'epoch' THEN coalesce(email, %(email)s) ELSE email END,
    name = CASE WHEN clerk_updated_at = 'epoch' THEN coalesce(name, %(name)s) ELSE name END,
    image_url = CASE WHEN clerk_updated_at = 'epoch' THEN coalesce(image_url, %(image_url)s) ELSE image_url END,
    created_at = least(created_at, %(created_at)s::TIMESTAMPTZ)
WHERE clerk_id = %(clerk_id)s
    AND deleted_at IS NULL
    AND (
        created_at > %(created_at)s::TIMESTAMPTZ
        OR (clerk_updated_at = 'epoch' AND email IS NULL AND %(email)s::TEXT IS NOT NULL)
        OR (clerk_updated_at = 'epoch' AND name IS NULL AND %(name)s::TEXT IS NOT NULL)
        OR (clerk_updated_at = 'epoch' AND image_url IS NULL AND %(image_url)s::TEXT IS NOT NULL)
    )
RETURNING id;
