-- delete_old_deliveries: deletes the oldest rows of the history, and returns their ids.
-- No row as well where another process does it at the moment.
-- days: the age from which a row is old.
-- chunk: how many are deleted at most.
DELETE FROM deliveries
WHERE svix_id IN (
    SELECT old.svix_id
    FROM deliveries AS old
    WHERE old.last_at < now() - make_interval(days => %(days)s)
        AND (SELECT pg_try_advisory_xact_lock(hashtextextended('app:history', 0)))
    ORDER BY old.last_at
    LIMIT %(chunk)s
    FOR UPDATE SKIP LOCKED
)
RETURNING svix_id;
