-- update_users: store profiles that are not older than the stored ones. No row for a user: the stored profile is newer,
-- the user is deleted or unknown, or another transaction holds the row, which is not waited for. The condition is
-- tried on the newest version of the row, so it holds beside any rival.
-- clerk_ids, emails, names, clerk_updated_at, last_sign_in_at: one for each profile, a user at most once.
WITH profile AS (
    SELECT clerk_id, email, name, clerk_updated_at, last_sign_in_at
    FROM unnest(
        %(clerk_ids)s::TEXT[], %(emails)s::TEXT[], %(names)s::TEXT[],
        %(clerk_updated_at)s::TIMESTAMPTZ[], %(last_sign_in_at)s::TIMESTAMPTZ[]
    ) AS profile (clerk_id, email, name, clerk_updated_at, last_sign_in_at)
),

free AS (
    SELECT id
    FROM users
    WHERE clerk_id = ANY(%(clerk_ids)s::TEXT[])
        AND deleted_at IS NULL
    ORDER BY id
    FOR NO KEY UPDATE SKIP LOCKED
)

UPDATE users
SET
    email = profile.email,
    name = profile.name,
    clerk_updated_at = profile.clerk_updated_at,
    last_sign_in_at = coalesce(profile.last_sign_in_at, users.last_sign_in_at),
    updated_at = now()
FROM free, profile
WHERE users.id = free.id
    AND users.clerk_id = profile.clerk_id
    AND users.clerk_updated_at <= profile.clerk_updated_at
    AND users.deleted_at IS NULL
RETURNING
    users.id, users.clerk_id, users.assistant_id, users.email, users.name, users.created_at,
    users.clerk_updated_at, users.last_sign_in_at, users.deleted_at;
