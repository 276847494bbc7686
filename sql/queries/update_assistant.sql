-- update_assistant: give a user another assistant, under lock_user. No row: the row has another one by now, or the user
-- is deleted.
-- clerk_id: the user.
-- lost_id: the assistant that Backboard has lost.
-- assistant_id: the new one.
UPDATE users
SET assistant_id = %(assistant_id)s, updated_at = now()
WHERE clerk_id = %(clerk_id)s
    AND assistant_id = %(lost_id)s
    AND deleted_at IS NULL
RETURNING
    id, clerk_id, assistant_id, email, name, image_url, created_at, clerk_updated_at, last_sign_in_at, deleted_at;
