-- clear_user_profile: take the personal data out of a row that stays. No row comes back.
-- clerk_id: the user.
UPDATE users
SET
    email = NULL, name = NULL, image_url = NULL, last_sign_in_at = NULL,
    deleted_at = coalesce(deleted_at, now()), updated_at = now()
WHERE clerk_id = %(clerk_id)s;
