-- delete_user_threads: deletes the rows of a user's deleted sessions; their threads are gone with the assistant.
-- Returns no row.
-- clerk_id: the user's Clerk id.
DELETE FROM deleted_threads
USING users
WHERE users.id = deleted_threads.user_id
    AND users.clerk_id = %(clerk_id)s;
