-- resolve_attempt: mark that the user's row or tombstone stands, and that a second assistant may exist. No row: there
-- was no attempt.
-- clerk_id: the user.
UPDATE provisioning_attempts
SET resolved_at = now()
WHERE clerk_id = %(clerk_id)s;
