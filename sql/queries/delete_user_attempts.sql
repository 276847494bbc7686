-- delete_user_attempts: deletes the attempt rows of a user's sessions. Returns no row.
-- clerk_id: the user's Clerk id.
DELETE FROM session_attempts
WHERE clerk_id = %(clerk_id)s;
