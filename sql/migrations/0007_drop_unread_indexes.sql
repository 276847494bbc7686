-- migrate:up transaction:false
-- A search compares texts as they were written with every spelling of what is searched, and normalizes none. Messages are
-- read in the order of their positions, and a user's sessions by their activity; the indexes of both serve the foreign
-- keys as well. The processes that are still running search as before, without an index for their normalized part.
DROP INDEX CONCURRENTLY IF EXISTS messages_session_id_unnormalized_idx;
DROP INDEX CONCURRENTLY IF EXISTS messages_session_id_created_at_idx;
DROP INDEX CONCURRENTLY IF EXISTS sessions_user_id_idx;

-- As before, but a profile that changes nothing is not stored: of one event at two processes, one stores it and the other
-- finds it stored. The condition is tried on the newest version of a row, so it holds beside any rival.
CREATE OR REPLACE FUNCTION update_users(
    clerk_ids TEXT [], emails TEXT [], names TEXT [], versions TIMESTAMPTZ [], last_sign_ins TIMESTAMPTZ [],
    event_times TIMESTAMPTZ []
)
RETURNS TABLE (
    id UUID, clerk_id TEXT, assistant_id TEXT, email TEXT, name TEXT, created_at TIMESTAMPTZ,
    clerk_updated_at TIMESTAMPTZ, last_sign_in_at TIMESTAMPTZ, deleted_at TIMESTAMPTZ
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = OFF
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH free AS (
        SELECT id
        FROM users
        WHERE clerk_id = ANY(clerk_ids)
            AND deleted_at IS NULL
        ORDER BY id
        FOR NO KEY UPDATE SKIP LOCKED
    )

    UPDATE users
    SET
        email = profile.email,
        name = profile.name,
        clerk_updated_at = profile.version,
        last_sign_in_at = greatest(profile.last_sign_in, users.last_sign_in_at),
        clerk_event_at = CASE
            WHEN users.clerk_updated_at < profile.version THEN profile.event_time
            ELSE coalesce(profile.event_time, users.clerk_event_at)
        END,
        updated_at = now()
    FROM free, unnest(clerk_ids, emails, names, versions, last_sign_ins, event_times)
        AS profile (clerk_id, email, name, version, last_sign_in, event_time)
    WHERE users.id = free.id
        AND users.clerk_id = profile.clerk_id
        AND users.clerk_updated_at <= profile.version
        AND (users.clerk_updated_at < profile.version OR (users.clerk_event_at <= profile.event_time) IS NOT FALSE)
        AND users.deleted_at IS NULL
        AND (
            users.clerk_updated_at < profile.version
            OR users.email IS DISTINCT FROM profile.email
            OR users.name IS DISTINCT FROM profile.name
            OR users.last_sign_in_at IS DISTINCT FROM greatest(profile.last_sign_in, users.last_sign_in_at)
        )
    RETURNING
        users.id, users.clerk_id, users.assistant_id, users.email, users.name, users.created_at,
        users.clerk_updated_at, users.last_sign_in_at, users.deleted_at;
END
$$;

-- migrate:down transaction:false
CREATE OR REPLACE FUNCTION update_users(
    clerk_ids TEXT [], emails TEXT [], names TEXT [], versions TIMESTAMPTZ [], last_sign_ins TIMESTAMPTZ [],
    event_times TIMESTAMPTZ []
)
RETURNS TABLE (
    id UUID, clerk_id TEXT, assistant_id TEXT, email TEXT, name TEXT, created_at TIMESTAMPTZ,
    clerk_updated_at TIMESTAMPTZ, last_sign_in_at TIMESTAMPTZ, deleted_at TIMESTAMPTZ
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = OFF
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH free AS (
        SELECT id
        FROM users
        WHERE clerk_id = ANY(clerk_ids)
            AND deleted_at IS NULL
        ORDER BY id
        FOR NO KEY UPDATE SKIP LOCKED
    )

    UPDATE users
    SET
        email = profile.email,
        name = profile.name,
        clerk_updated_at = profile.version,
        last_sign_in_at = greatest(profile.last_sign_in, users.last_sign_in_at),
        clerk_event_at = CASE
            WHEN users.clerk_updated_at < profile.version THEN profile.event_time
            ELSE coalesce(profile.event_time, users.clerk_event_at)
        END,
        updated_at = now()
    FROM free, unnest(clerk_ids, emails, names, versions, last_sign_ins, event_times)
        AS profile (clerk_id, email, name, version, last_sign_in, event_time)
    WHERE users.id = free.id
        AND users.clerk_id = profile.clerk_id
        AND users.clerk_updated_at <= profile.version
        AND (users.clerk_updated_at < profile.version OR (users.clerk_event_at <= profile.event_time) IS NOT FALSE)
        AND users.deleted_at IS NULL
    RETURNING
        users.id, users.clerk_id, users.assistant_id, users.email, users.name, users.created_at,
        users.clerk_updated_at, users.last_sign_in_at, users.deleted_at;
END
$$;

CREATE INDEX CONCURRENTLY IF NOT EXISTS sessions_user_id_idx ON sessions (user_id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS messages_session_id_created_at_idx ON messages (session_id, created_at);
CREATE INDEX CONCURRENTLY IF NOT EXISTS messages_session_id_unnormalized_idx
ON messages (session_id) WHERE content IS NOT NFC NORMALIZED;
