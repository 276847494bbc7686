-- lock_sessions: lock a user's sessions until the transaction ends, so that only one process creates one at a time.
-- It stands alone, and beside lock_user: a read in the same statement would use a snapshot from before the wait.
-- clerk_id: the user.
SELECT pg_advisory_xact_lock(hashtextextended('app:sessions:' || %(clerk_id)s, 0));
