-- record_deletion: where there is a row, remember that its assistant is still to be deleted. No row comes back.
-- It counts as a try of its own even beside another's attempt: a try that finishes because of the tombstone deletes an
-- attempt row in which it is alone, and this one must outlive that.
-- clerk_id: the user.
INSERT INTO provisioning_attempts (clerk_id)
SELECT clerk_id
FROM users
WHERE clerk_id = %(clerk_id)s
ON CONFLICT ON CONSTRAINT provisioning_attempts_pkey
DO UPDATE SET tries = provisioning_attempts.tries + 1, last_at = now(), resolved_at = NULL;
