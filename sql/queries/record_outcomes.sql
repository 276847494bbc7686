-- record_outcomes: adds to the counts of requests. Returns no row.
-- slots, events, outcomes, reasons, statuses: what is counted; together each stands once.
-- numbers, seconds: what is added for each.
INSERT INTO outcome_counts (slot, event, outcome, reason, status, number, seconds)
SELECT counted.slot, counted.event, counted.outcome, counted.reason, counted.status, counted.number, counted.seconds
FROM unnest(
    %(slots)s::TIMESTAMPTZ[], %(events)s::TEXT[], %(outcomes)s::TEXT[], %(reasons)s::TEXT[], %(statuses)s::BIGINT[],
    %(numbers)s::BIGINT[], %(seconds)s::FLOAT8[]
) AS counted (slot, event, outcome, reason, status, number, seconds)
ORDER BY counted.slot, counted.event, counted.outcome, counted.reason, counted.status
ON CONFLICT ON CONSTRAINT outcome_counts_pkey
DO UPDATE SET
    number = outcome_counts.number + excluded.number,
    seconds = outcome_counts.seconds + excluded.seconds;
