-- record_attempt: remember that a create may be sent, before it is. Always one row.
-- clerk_id: the user.
INSERT INTO provisioning_attempts (clerk_id)
VALUES (%(clerk_id)s)
ON CONFLICT ON CONSTRAINT provisioning_attempts_pkey
DO UPDATE SET tries = provisioning_attempts.tries + 1, last_at = now(), resolved_at = NULL
RETURNING tries;
