-- delete_old_actions: deletes old actions of operators, and returns their ids.
-- days: the age from which an action is old.
DELETE FROM actions
WHERE at < now() - make_interval(days => %(days)s)
    AND (SELECT pg_try_advisory_xact_lock(hashtextextended('app:history', 0)))
RETURNING id;
