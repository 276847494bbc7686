-- delete_old_processes: deletes the rows of processes that have ended, and returns their ids.
-- days: for how long they were not seen.
DELETE FROM processes
WHERE seen_at < now() - make_interval(days => %(days)s)
    AND (SELECT pg_try_advisory_xact_lock(hashtextextended('app:history', 0)))
RETURNING id;
