-- delete_first_attempt: forget a note that nobody else leaned on. No row: another try was noted as well, and
-- what that one left at Backboard is not known.
-- clerk_id: whose.
DELETE FROM provisioning_attempts
WHERE clerk_id = %(clerk_id)s
    AND tries = 1;
