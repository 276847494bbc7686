-- resolve_attempt: the user's row or tombstone stands, a second assistant may. No row: nothing was in doubt.
-- clerk_id: whose.
UPDATE provisioning_attempts
SET resolved_at = now()
WHERE clerk_id = %(clerk_id)s;
