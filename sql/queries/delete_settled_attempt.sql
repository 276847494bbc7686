-- delete_settled_attempt: forget a note once nothing is left of its doubt. It stays when somebody noted a try
-- since it was read, or when what it remembers may still be on its way.
-- clerk_id: whose.
-- tries, last_at: as they were read under lock_user.
-- min_age: how many seconds it must have been quiet.
DELETE FROM provisioning_attempts
WHERE clerk_id = %(clerk_id)s
    AND tries = %(tries)s
    AND last_at = %(last_at)s
    AND last_at <= now() - make_interval(secs => %(min_age)s)
RETURNING clerk_id;
