-- list_outcomes: the outcomes of webhooks and ensure-users, oldest slot first.
-- hours: how far back.
SELECT slot, event, outcome, reason, status, number
FROM outcome_counts
WHERE slot > greatest('epoch', now() - make_interval(hours => %(hours)s))
    AND event IN ('webhook', 'ensure_user')
ORDER BY slot, event, outcome, reason, status;
