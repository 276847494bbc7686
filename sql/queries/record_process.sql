-- record_process: refreshes the row of this process. Returns no row.
-- id, host, release, version, started_at, last_event_at, pools, breaker, lost, lost_at, writes: as the columns.
INSERT INTO processes (
    id, host, release, version, started_at, last_event_at, pools, breaker, lost, lost_at, writes
)
VALUES (
    %(id)s, %(host)s, %(release)s, %(version)s, %(started_at)s::TIMESTAMPTZ, %(last_event_at)s::TIMESTAMPTZ,
    %(pools)s::JSONB, %(breaker)s, %(lost)s::BIGINT, %(lost_at)s::TIMESTAMPTZ,
    %(writes)s::BIGINT
)
ON CONFLICT ON CONSTRAINT processes_pkey
DO UPDATE SET
    seen_at = now(),
    last_event_at = excluded.last_event_at,
    pools = excluded.pools,
    breaker = excluded.breaker,
    lost = excluded.lost,
    lost_at = excluded.lost_at,
    writes = excluded.writes;
