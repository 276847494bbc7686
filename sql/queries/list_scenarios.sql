-- list_scenarios: a page of scenarios in the order of their slugs.
-- after: the last slug of the page before; NULL for the first page.
-- include_inactive: whether retired ones are in it.
-- page_size: how many at most.
SELECT slug, name, description, system_prompt, model, is_active, created_at, updated_at
FROM scenarios
WHERE slug > coalesce(%(after)s::TEXT, '')
    AND (is_active OR %(include_inactive)s::BOOL)
ORDER BY slug
LIMIT %(page_size)s;
