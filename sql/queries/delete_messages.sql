-- delete_messages: everything that was said in a session, to be sent under lock_session. No row comes back.
-- session_id: which.
DELETE FROM messages
WHERE session_id = %(session_id)s;
