-- delete_old_session_attempts: delete the attempts that led to nothing, or to the threads that a listing has just
-- shown, under lock_sessions, after that listing. No row comes back.
-- clerk_id: the user.
-- min_age: for how many seconds a request may be on its way to Backboard.
DELETE FROM session_attempts
WHERE clerk_id = %(clerk_id)s
    AND noted_at <= now() - make_interval(secs => %(min_age)s);
