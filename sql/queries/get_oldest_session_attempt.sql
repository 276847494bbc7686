-- get_oldest_session_attempt: since when Backboard may hold a thread of this user that no session names, to be read
-- under lock_sessions. Always one row. No other try has recorded an attempt: attempted_since is NULL.
-- clerk_id: the user.
-- session_id: our own try, which does not count.
SELECT min(noted_at) AS attempted_since
FROM session_attempts
WHERE clerk_id = %(clerk_id)s
    AND session_id <> %(session_id)s;
