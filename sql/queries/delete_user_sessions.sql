-- delete_user_sessions: deletes the sessions of a user, after their messages. Returns no row.
-- clerk_id: the user's Clerk id.
DELETE FROM sessions
USING users
WHERE users.id = sessions.user_id
    AND users.clerk_id = %(clerk_id)s;
