-- find_scenarios: scenarios, retired ones too. No row for a slug: there is none.
-- slugs: those asked for.
SELECT slug, name, description, system_prompt, model, is_active, created_at, updated_at
FROM scenarios
WHERE slug = ANY(%(slugs)s::TEXT[]);
