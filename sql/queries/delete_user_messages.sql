-- delete_user_messages: everything that was said in a user's sessions. No row comes back.
-- clerk_id: whose.
DELETE FROM messages
USING sessions, users
WHERE sessions.id = messages.session_id
    AND users.id = sessions.user_id
    AND users.clerk_id = %(clerk_id)s;
