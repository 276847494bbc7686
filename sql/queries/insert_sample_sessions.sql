-- insert_sample_sessions: sessions of sample users; an existing one stays as it is.
-- session_ids: their ids.
-- clerk_ids, titles, thread_ids: one for each id, in the same order.
INSERT INTO sessions (id, title, user_id, thread_id)
SELECT sample.id, sample.title, users.id, sample.thread_id
FROM unnest(%(session_ids)s::UUID[], %(clerk_ids)s::TEXT[], %(titles)s::TEXT[], %(thread_ids)s::TEXT[])
    AS sample (id, clerk_id, title, thread_id)
INNER JOIN users ON users.clerk_id = sample.clerk_id
ON CONFLICT DO NOTHING;
