-- insert_sample_sessions: sessions of sample users; an existing one stays as it is.
-- session_ids: their ids.
-- clerk_ids, titles, thread_ids, scenario_slugs: one for each id, in the same order.
INSERT INTO sessions (id, title, user_id, thread_id, scenario_slug)
SELECT sample.id, sample.title, users.id, sample.thread_id, scenarios.slug
FROM unnest(
    %(session_ids)s::UUID[], %(clerk_ids)s::TEXT[], %(titles)s::TEXT[], %(thread_ids)s::TEXT[],
    %(scenario_slugs)s::TEXT[]
) AS sample (id, clerk_id, title, thread_id, scenario_slug)
INNER JOIN users ON users.clerk_id = sample.clerk_id
LEFT JOIN scenarios ON scenarios.slug = sample.scenario_slug
ON CONFLICT DO NOTHING;
