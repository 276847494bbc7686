-- delete_message: take one message out of a session. No row: it is not there, or as in find_session.
-- message_id: which.
-- session_id, owner_id: as in find_session.
DELETE FROM messages
USING sessions, users
WHERE messages.id = %(message_id)s
    AND messages.session_id = %(session_id)s
    AND sessions.id = messages.session_id
    AND users.id = sessions.user_id
    AND users.deleted_at IS NULL
    AND users.clerk_id = coalesce(%(owner_id)s::TEXT, users.clerk_id)
RETURNING messages.id AS message_id;
