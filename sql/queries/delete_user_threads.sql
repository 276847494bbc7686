-- delete_user_threads: forget a user's deleted sessions; their threads are gone with the assistant. No row comes back.
-- clerk_id: whose.
DELETE FROM deleted_threads
USING users
WHERE users.id = deleted_threads.user_id
    AND users.clerk_id = %(clerk_id)s;
