-- lock_user: lock a user until the transaction ends, so that only one process provisions or deletes them.
-- It stands alone: a read in the same statement would use a snapshot from before the wait.
-- clerk_id: the user.
SELECT pg_advisory_xact_lock(hashtextextended('app:user:' || %(clerk_id)s, 0));
