-- delete_user_attempts: forget a user's tries to open a session. No row comes back.
-- clerk_id: whose.
DELETE FROM session_attempts
WHERE clerk_id = %(clerk_id)s;
