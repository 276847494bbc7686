-- delete_old_outcomes: deletes the counts of old slots, but not the totals, and returns the slot of each.
-- No row as well where another process does it at the moment.
-- days: the age from which a slot is old.
DELETE FROM outcome_counts
WHERE slot > 'epoch'
    AND slot < now() - make_interval(days => %(days)s)
    AND (SELECT pg_try_advisory_xact_lock(hashtextextended('app:history', 0)))
RETURNING slot;
