-- insert_sample_users: users for a development database; an existing one stays as it is.
-- clerk_ids: their Clerk ids.
-- assistant_ids, emails, names, image_urls: one for each id, in the same order.
INSERT INTO users (clerk_id, assistant_id, email, name, image_url)
SELECT sample.clerk_id, sample.assistant_id, sample.email, sample.name, sample.image_url
FROM unnest(
    %(clerk_ids)s::TEXT[], %(assistant_ids)s::TEXT[], %(emails)s::TEXT[], %(names)s::TEXT[], %(image_urls)s::TEXT[]
) AS sample (clerk_id, assistant_id, email, name, image_url)
WHERE NOT EXISTS (SELECT FROM deleted_users WHERE deleted_users.clerk_id = sample.clerk_id)
ON CONFLICT DO NOTHING;
