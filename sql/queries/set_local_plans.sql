-- set_local_plans: until the end of the transaction, rows are found by an index where there is one, and joined to the few
-- that were found before. The planner does not count what reading long texts costs, and would read those of all users.
SELECT
    set_config('enable_seqscan', 'off', TRUE),
    set_config('enable_hashjoin', 'off', TRUE),
    set_config('enable_mergejoin', 'off', TRUE);
