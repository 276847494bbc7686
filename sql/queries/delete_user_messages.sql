-- delete_user_messages: deletes the messages of all sessions of a user. Returns no row.
-- clerk_id: the user's Clerk id.
DELETE FROM messages
USING sessions, users
WHERE sessions.id = messages.session_id
    AND users.id = sessions.user_id
    AND users.clerk_id = %(clerk_id)s;
