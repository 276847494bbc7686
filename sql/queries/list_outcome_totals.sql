-- list_outcome_totals: how many requests all processes together have answered, since the counting began.
SELECT event, outcome, status, sum(number)::BIGINT AS number
FROM outcome_counts
WHERE slot = 'epoch'
GROUP BY event, outcome, status
ORDER BY event, outcome, status;
