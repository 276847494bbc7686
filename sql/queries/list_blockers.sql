-- list_blockers: the processes that another one waits for, with their state and what they call themselves; both are NULL
-- for a prepared transaction, which has the pid 0, and for a process of which this user sees nothing. No row: it waits for
-- none.
-- name: the application_name of the one that waits.
SELECT DISTINCT blocking.pid, blocker.state, nullif(blocker.application_name, '') AS application_name
FROM pg_stat_activity AS waiting
CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocking (pid)
LEFT JOIN pg_stat_activity AS blocker ON blocker.pid = blocking.pid
WHERE waiting.application_name = %(name)s
ORDER BY blocking.pid;
