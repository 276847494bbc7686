-- delete_session_attempt: delete the attempt of a try that left nothing behind: its session was inserted, or it sent
-- nothing. No row comes back.
-- session_id: the try.
-- sent: whether a thread may have been created.
DELETE FROM session_attempts
WHERE session_id = %(session_id)s
    AND (NOT %(sent)s::BOOL OR EXISTS (SELECT FROM sessions WHERE id = %(session_id)s));
