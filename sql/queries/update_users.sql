-- update_users: store profiles that are not older than the stored ones; of two events of one version the later one in
-- Clerk's own time holds, and last_sign_in_at never goes back. No row for a user: the stored profile is newer or the same,
-- the user is deleted or unknown, or another transaction holds the row, which is not waited for.
-- clerk_ids, emails, names, image_urls, versions, last_sign_ins, event_times: one for each profile, a user at most once.
SELECT
    id, clerk_id, assistant_id, email, name, image_url, created_at, clerk_updated_at, last_sign_in_at, deleted_at
FROM update_users(
    %(clerk_ids)s::TEXT[], %(emails)s::TEXT[], %(names)s::TEXT[], %(image_urls)s::TEXT[],
    %(versions)s::TIMESTAMPTZ[], %(last_sign_ins)s::TIMESTAMPTZ[], %(event_times)s::TIMESTAMPTZ[]
);
