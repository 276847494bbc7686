-- lock_sessions: hold this user's sessions until the transaction ends, so that only one process opens one at a time.
-- It stands alone, and beside lock_user: a read in the same statement would use a snapshot from before the wait.
-- clerk_id: whose.
SELECT pg_advisory_xact_lock(hashtextextended('app:sessions:' || %(clerk_id)s, 0));
