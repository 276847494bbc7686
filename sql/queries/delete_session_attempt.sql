-- delete_session_attempt: forget the note of a try of which nothing is left in doubt: its session stands, or it sent
-- nothing. No row comes back.
-- session_id: which try.
-- sent: whether a thread may have been created.
DELETE FROM session_attempts
WHERE session_id = %(session_id)s
    AND (NOT %(sent)s::BOOL OR EXISTS (SELECT FROM sessions WHERE id = %(session_id)s));
