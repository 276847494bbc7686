-- find_users: the rows and the tombstones of many users at once; an id without either is unknown.
-- A tombstone comes as a row of its own in which only clerk_id and deleted_at are set.
-- clerk_ids: the Clerk ids asked for.
SELECT
    id, clerk_id, assistant_id, email, name, image_url, created_at, clerk_updated_at, last_sign_in_at, deleted_at
FROM lookup_users(%(clerk_ids)s::TEXT[]);
