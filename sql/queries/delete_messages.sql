-- delete_messages: delete all messages of a session, under lock_session. No row comes back.
-- session_id: the session.
DELETE FROM messages
WHERE session_id = %(session_id)s;
