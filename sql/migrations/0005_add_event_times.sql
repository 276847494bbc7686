-- migrate:up
-- What decides between two events of one version, and what a session is when Backboard has lost its thread. The code that
-- wrote into these tables before may go on.
SET LOCAL lock_timeout = '3s';
SET LOCAL statement_timeout = '30s';

-- When Clerk made the event that is stored here, by Clerk's own clock: of two events of one clerk_updated_at the later
-- one holds. NULL where no event of that version was stored, so that any is taken.
ALTER TABLE users ADD COLUMN clerk_event_at TIMESTAMPTZ;

-- NULL where the assistant has vanished from Backboard, and its threads with it. The session and its messages stay.
-- The code that is still running hands a NULL on as null.
-- squawk-ignore ban-drop-not-null
ALTER TABLE sessions ALTER COLUMN thread_id DROP NOT NULL;

-- Stores profiles that are not older than the stored ones, nor of an older event of the same version. The rows are locked
-- in the order of their ids; one that another transaction holds is left out. The condition is tried on the newest version
-- of a row, so it holds beside any rival.
CREATE FUNCTION update_users(
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

-- migrate:down
-- squawk-ignore-file ban-drop-column, ban-drop-function, adding-not-nullable-field
DROP FUNCTION update_users(TEXT [], TEXT [], TEXT [], TIMESTAMPTZ [], TIMESTAMPTZ [], TIMESTAMPTZ []);
UPDATE sessions SET thread_id = '' WHERE thread_id IS NULL;
ALTER TABLE sessions ALTER COLUMN thread_id SET NOT NULL;
ALTER TABLE users DROP COLUMN clerk_event_at;
