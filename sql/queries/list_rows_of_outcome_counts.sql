-- list_rows_of_outcome_counts: the rows of outcome_counts for operators, a page at a time, each as JSON.
-- word: only rows with this id; NULL for all.
-- after: the key of the last row of the page before; NULL for the first page.
-- page_size: the number of rows in a page.
SELECT
    ARRAY[page.slot::TEXT, page.event, page.outcome, page.reason, page.status::TEXT] AS key,
    row_to_json(page)::TEXT AS document
FROM (
    SELECT slot, event, outcome, reason, status, number, seconds
    FROM outcome_counts
    WHERE (%(word)s::TEXT IS NULL OR event = %(word)s::TEXT OR reason = %(word)s::TEXT)
        AND (
            %(after)s::TEXT [] IS NULL
            OR (slot, event, outcome, reason, status) < (
                (%(after)s::TEXT [])[1]::TIMESTAMPTZ, (%(after)s::TEXT [])[2], (%(after)s::TEXT [])[3],
                (%(after)s::TEXT [])[4], (%(after)s::TEXT [])[5]::BIGINT
            )
        )
    ORDER BY slot DESC, event DESC, outcome DESC, reason DESC, status DESC
    LIMIT %(page_size)s
) AS page
ORDER BY page.slot DESC, page.event DESC, page.outcome DESC, page.reason DESC, page.status DESC;
