-- delete_old_session_attempts: forget the notes whose threads a listing has just shown, all of them, or which came to
-- nothing; to be sent under lock_sessions by whoever has read that listing. No row comes back.
-- clerk_id: whose.
-- min_age: how many seconds a thread may be on its way.
DELETE FROM session_attempts
WHERE clerk_id = %(clerk_id)s
    AND noted_at <= now() - make_interval(secs => %(min_age)s);
