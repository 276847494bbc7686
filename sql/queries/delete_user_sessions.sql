-- delete_user_sessions: a user's emptied sessions. No row comes back.
-- clerk_id: whose.
DELETE FROM sessions
USING users
WHERE users.id = sessions.user_id
    AND users.clerk_id = %(clerk_id)s;
