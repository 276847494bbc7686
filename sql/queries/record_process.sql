-- record_process: refreshes the row of this process. Returns no row.
-- id, host, release, version, started_at, last_event_at, pools, breaker, lost, writes: as the columns.
INSERT INTO processes (id, host, release, version, started_at, last_event_at, pools, breaker, lost, writes)
VALUES (
    %(id)s, %(host)s, %(release)s, %(version)s, %(started_at)s::TIMESTAMPTZ, %(last_event_at)s::TIMESTAMPTZ,
    %(pools)s::JSONB, %(breaker)s, %(lost)s::BIGINT, %(writes)s::BIGINT
)
ON CONFLICT ON CONSTRAINT processes_pkey
DO UPDATE SET
    seen_at = now(),
    last_event_at = excluded.last_event_at,
    pools = excluded.pools,
    breaker = excluded.breaker,
    lost = excluded.lost,
    writes = excluded.writes;
