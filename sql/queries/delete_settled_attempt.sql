-- delete_settled_attempt: deletes a user's attempt row when reconcile has left nothing of it. It stays when another
-- try was recorded since it was read, or when a request of its tries may still be on its way.
-- clerk_id: the user's Clerk id.
-- tries, last_at: as read under lock_user.
-- min_age: the age in seconds that the last try must have.
DELETE FROM provisioning_attempts
WHERE clerk_id = %(clerk_id)s
    AND tries = %(tries)s
    AND last_at = %(last_at)s
    AND last_at <= now() - make_interval(secs => %(min_age)s)
RETURNING clerk_id;
