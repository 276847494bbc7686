-- set_scenario: store a scenario under a slug, new or over the one that is there. Always one row. What is stored again as
-- it is keeps its updated_at. xmax of a row that was inserted is 0.
-- slug, name, description, system_prompt, model, is_active: as in the table.
INSERT INTO scenarios (slug, name, description, system_prompt, model, is_active)
VALUES (
    %(slug)s, %(name)s, %(description)s::TEXT, %(system_prompt)s::TEXT, %(model)s::TEXT, %(is_active)s::BOOL
)
ON CONFLICT (slug) DO UPDATE
SET
    name = excluded.name,
    description = excluded.description,
    system_prompt = excluded.system_prompt,
    model = excluded.model,
    is_active = excluded.is_active,
    updated_at = CASE
        WHEN (scenarios.name, scenarios.description, scenarios.system_prompt, scenarios.model, scenarios.is_active)
            IS DISTINCT FROM
            (excluded.name, excluded.description, excluded.system_prompt, excluded.model, excluded.is_active)
            THEN now()
        ELSE scenarios.updated_at
    END
RETURNING slug, name, description, system_prompt, model, is_active, created_at, updated_at, xmax = 0 AS is_new;
