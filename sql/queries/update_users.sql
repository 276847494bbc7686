-- update_users: store profiles that are not older than the stored ones; of two events of one version the later one in
-- Clerk's own time holds, and last_sign_in_at never goes back. No row for a user: the stored profile is newer, the user is
-- deleted or unknown, or another transaction holds the row, which is not waited for. The condition is tried on the newest
-- version of the row, so it holds beside any rival.
-- clerk_ids, emails, names, clerk_updated_at, last_sign_in_at, clerk_event_at: one for each profile, a user at most once.
WITH profile AS (
    SELECT clerk_id, email, name, clerk_updated_at, last_sign_in_at, clerk_event_at
    FROM unnest(
        %(clerk_ids)s::TEXT[], %(emails)s::TEXT[], %(names)s::TEXT[],
        %(clerk_updated_at)s::TIMESTAMPTZ[], %(last_sign_in_at)s::TIMESTAMPTZ[], %(clerk_event_at)s::TIMESTAMPTZ[]
    ) AS profile (clerk_id, email, name, clerk_updated_at, last_sign_in_at, clerk_event_at)
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
    last_sign_in_at = greatest(profile.last_sign_in_at, users.last_sign_in_at),
    clerk_event_at = CASE
        WHEN users.clerk_updated_at < profile.clerk_updated_at THEN profile.clerk_event_at
        ELSE coalesce(profile.clerk_event_at, users.clerk_event_at)
    END,
    updated_at = now()
FROM free, profile
WHERE users.id = free.id
    AND users.clerk_id = profile.clerk_id
    AND users.clerk_updated_at <= profile.clerk_updated_at
    AND (
        users.clerk_updated_at < profile.clerk_updated_at
        OR (users.clerk_event_at <= profile.clerk_event_at) IS NOT FALSE
    )
    AND users.deleted_at IS NULL
RETURNING
    users.id, users.clerk_id, users.assistant_id, users.email, users.name, users.created_at,
    users.clerk_updated_at, users.last_sign_in_at, users.deleted_at;
