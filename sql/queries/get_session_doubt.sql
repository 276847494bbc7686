-- get_session_doubt: since when Backboard may hold a thread of this user that no session names, to be read under
-- lock_sessions. Always one row. Nobody else's try is noted: since is NULL.
-- clerk_id: whose.
-- session_id: our own try, which does not count.
SELECT min(noted_at) AS since
FROM session_attempts
WHERE clerk_id = %(clerk_id)s
    AND session_id <> %(session_id)s;
