-- insert_sample_scenarios: scenarios for a development database; an existing one stays as it is.
-- slugs: their slugs.
-- names, descriptions, system_prompts, models: one for each slug, in the same order.
INSERT INTO scenarios (slug, name, description, system_prompt, model)
SELECT slug, name, description, system_prompt, model
FROM unnest(
    %(slugs)s::TEXT[], %(names)s::TEXT[], %(descriptions)s::TEXT[], %(system_prompts)s::TEXT[], %(models)s::TEXT[]
) AS sample (slug, name, description, system_prompt, model)
ON CONFLICT DO NOTHING;
