-- list_rows_of_scenarios: the rows of scenarios for operators, a page at a time, each as JSON.
-- word: only rows with this id; NULL for all.
-- after: the key of the last row of the page before; NULL for the first page.
-- page_size: the number of rows in a page.
SELECT ARRAY[page.slug] AS key, row_to_json(page)::TEXT AS document
FROM (
    SELECT
        slug, name, description, substr(system_prompt, 1, 2000) AS system_prompt, model, is_active, created_at,
        updated_at
    FROM scenarios
    WHERE (%(word)s::TEXT IS NULL OR slug = %(word)s::TEXT)
        AND (%(after)s::TEXT [] IS NULL OR slug > (%(after)s::TEXT [])[1])
    ORDER BY slug
    LIMIT %(page_size)s
) AS page
ORDER BY page.slug;
