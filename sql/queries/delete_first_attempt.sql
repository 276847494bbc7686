-- delete_first_attempt: delete an attempt row in which one try alone is recorded. No row: another try was recorded as
-- well, and what that one left at Backboard is not known.
-- clerk_id: the user.
DELETE FROM provisioning_attempts
WHERE clerk_id = %(clerk_id)s
    AND tries = 1;
