-- delete_scenario: delete a scenario, or violate the key of a session that names it. No row: there is none.
-- slug: which.
DELETE FROM scenarios
WHERE slug = %(slug)s
RETURNING slug;
