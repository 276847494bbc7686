-- insert_session_attempt: remember that a thread may be created, before it is. No row comes back.
-- session_id: the id that the session is going to have.
-- clerk_id: the user.
INSERT INTO session_attempts (session_id, clerk_id)
VALUES (%(session_id)s, %(clerk_id)s);
