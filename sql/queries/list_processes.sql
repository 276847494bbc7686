-- list_processes: the processes of the service, those first that are alive.
-- silent_seconds: from when on a process that was not seen counts as ended.
SELECT
    id, host, release, version, started_at, seen_at, last_event_at, pools::TEXT AS pools, breaker, lost, lost_at,
    seen_at < now() - make_interval(secs => %(silent_seconds)s) AS is_silent
FROM processes
ORDER BY is_silent, host, started_at, id;
