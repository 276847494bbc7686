-- migrate:up
-- A picture of each user, sessions that are put away, and scenarios: what a conversation may begin from. The code that
-- is still running knows none of it and may go on: its functions stay as they are beside the new ones.
SET LOCAL lock_timeout = '3s';
SET LOCAL statement_timeout = '60s';

-- The templates of conversations, as the operator wrote them.
CREATE TABLE scenarios (
    -- What a session names it by, and a part of its address: city-trip.
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    -- What the chat backend sends to Backboard with each turn; NULL for the assistant's own.
    system_prompt TEXT,
    model TEXT,
    -- Whether a new session may name it. One that sessions have named is retired by this, since it cannot be deleted.
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT scenarios_pkey PRIMARY KEY (slug),
    CONSTRAINT scenarios_slug_check CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND char_length(slug) <= 64),
    CONSTRAINT scenarios_name_check CHECK (char_length(name) BETWEEN 1 AND 200),
    CONSTRAINT scenarios_description_check CHECK (char_length(description) BETWEEN 1 AND 2000),
    CONSTRAINT scenarios_system_prompt_check CHECK (char_length(system_prompt) BETWEEN 1 AND 16000),
    CONSTRAINT scenarios_model_check CHECK (char_length(model) BETWEEN 1 AND 200)
);

ALTER TABLE users
    -- Clerk's address of the user's picture; NULL without one, and until Clerk has spoken.
    ADD COLUMN image_url TEXT,
    -- Not validated, here and below, which would read the table under this lock: the column is as new as its check.
    ADD CONSTRAINT users_image_url_check CHECK (char_length(image_url) <= 2048) NOT VALID;

ALTER TABLE sessions
    -- What it began from; NULL for none. Never changes. Every row has NULL, so Postgres looks at none of them.
    -- squawk-ignore adding-foreign-key-constraint
    ADD COLUMN scenario_slug TEXT CONSTRAINT sessions_scenario_slug_fkey REFERENCES scenarios (slug),
    -- Every row has passed the stricter check that this one stands for.
    -- squawk-ignore ban-drop-constraint
    DROP CONSTRAINT sessions_status_check,
    ADD CONSTRAINT sessions_status_check
    CHECK (status IN ('active', 'completed', 'abandoned', 'archived')) NOT VALID;

-- For the deletion of a scenario. One pass over the sessions, about a second for ten million; no row is in it yet.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX sessions_scenario_slug_idx ON sessions (scenario_slug) WHERE scenario_slug IS NOT NULL;

-- The code that is still running, or runs again after a rollback, knows no picture: it leaves the one in the row of a
-- user that it deletes.
CREATE FUNCTION clear_image_url()
RETURNS TRIGGER
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.image_url := NULL;
    RETURN NEW;
END
$$;

CREATE TRIGGER users_clear_image_url
BEFORE UPDATE ON users
FOR EACH ROW
WHEN (new.deleted_at IS NOT NULL AND new.image_url IS NOT NULL)
EXECUTE FUNCTION clear_image_url();

-- As find_users, with the picture.
CREATE FUNCTION lookup_users(clerk_ids TEXT [])
RETURNS TABLE (
    id UUID, clerk_id TEXT, assistant_id TEXT, email TEXT, name TEXT, image_url TEXT, created_at TIMESTAMPTZ,
    clerk_updated_at TIMESTAMPTZ, last_sign_in_at TIMESTAMPTZ, deleted_at TIMESTAMPTZ
)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = OFF
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT
        id, clerk_id, assistant_id, email, name, image_url, created_at, clerk_updated_at, last_sign_in_at, deleted_at
    FROM users
    WHERE clerk_id = ANY(clerk_ids)
    UNION ALL
    SELECT NULL, clerk_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, deleted_at
    FROM deleted_users
    WHERE clerk_id = ANY(clerk_ids);
END
$$;

-- As the one of 0007, with the picture.
CREATE FUNCTION update_users(
    clerk_ids TEXT [], emails TEXT [], names TEXT [], image_urls TEXT [], versions TIMESTAMPTZ [],
    last_sign_ins TIMESTAMPTZ [], event_times TIMESTAMPTZ []
)
RETURNS TABLE (
    id UUID, clerk_id TEXT, assistant_id TEXT, email TEXT, name TEXT, image_url TEXT, created_at TIMESTAMPTZ,
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
        image_url = profile.image_url,
        clerk_updated_at = profile.version,
        last_sign_in_at = greatest(profile.last_sign_in, users.last_sign_in_at),
        clerk_event_at = CASE
            WHEN users.clerk_updated_at < profile.version THEN profile.event_time
            ELSE coalesce(profile.event_time, users.clerk_event_at)
        END,
        updated_at = now()
    FROM free, unnest(clerk_ids, emails, names, image_urls, versions, last_sign_ins, event_times)
        AS profile (clerk_id, email, name, image_url, version, last_sign_in, event_time)
    WHERE users.id = free.id
        AND users.clerk_id = profile.clerk_id
        AND users.clerk_updated_at <= profile.version
        AND (users.clerk_updated_at < profile.version OR (users.clerk_event_at <= profile.event_time) IS NOT FALSE)
        AND users.deleted_at IS NULL
        AND (
            users.clerk_updated_at < profile.version
            OR users.email IS DISTINCT FROM profile.email
            OR users.name IS DISTINCT FROM profile.name
            OR users.image_url IS DISTINCT FROM profile.image_url
            OR users.last_sign_in_at IS DISTINCT FROM greatest(profile.last_sign_in, users.last_sign_in_at)
        )
    RETURNING
        users.id, users.clerk_id, users.assistant_id, users.email, users.name, users.image_url, users.created_at,
        users.clerk_updated_at, users.last_sign_in_at, users.deleted_at;
END
$$;

-- As the one of 0004, with the scenario and the number of messages, and of some statuses only: each request names them with commas between, NULL
-- for all.
CREATE FUNCTION list_sessions(
    clerk_ids TEXT [], statuses TEXT [], active_befores TIMESTAMPTZ [], id_befores UUID [], page_sizes INT []
)
RETURNS TABLE (
    session_id UUID, clerk_id TEXT, assistant_id TEXT, thread_id TEXT, title TEXT, status TEXT,
    created_at TIMESTAMPTZ, last_active_at TIMESTAMPTZ, ended_at TIMESTAMPTZ, scenario_slug TEXT,
    message_id UUID, role TEXT, preview TEXT, message_created_at TIMESTAMPTZ, message_count BIGINT,
    is_deleted BOOLEAN, number BIGINT
)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = OFF
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT
        session.id, users.clerk_id, users.assistant_id, session.thread_id, session.title, session.status,
        session.created_at, session.last_active_at, session.ended_at, session.scenario_slug,
        latest.id, latest.role, latest.preview, latest.created_at,
        coalesce(
            session.message_count, (SELECT count(position) FROM messages WHERE messages.session_id = session.id)
        ),
        users.deleted_at IS NOT NULL OR deleted_users.clerk_id IS NOT NULL,
        wanted.number
    FROM unnest(clerk_ids, statuses, active_befores, id_befores, page_sizes)
        WITH ORDINALITY AS wanted (clerk_id, statuses, active_before, id_before, page_size, number)
    LEFT JOIN users ON users.clerk_id = wanted.clerk_id
    LEFT JOIN deleted_users ON deleted_users.clerk_id = wanted.clerk_id
    LEFT JOIN LATERAL (
        SELECT id, thread_id, title, status, created_at, last_active_at, ended_at, scenario_slug, message_count
        FROM sessions
        WHERE user_id = users.id
            AND status = ANY(string_to_array(coalesce(wanted.statuses, status), ','))
            AND (last_active_at, id) < (
                coalesce(wanted.active_before, 'infinity'),
                coalesce(wanted.id_before, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
            )
        ORDER BY last_active_at DESC, id DESC
        LIMIT wanted.page_size
    ) AS session ON TRUE
    LEFT JOIN LATERAL (
        SELECT id, role, substr(content, 1, 200) AS preview, created_at
        FROM messages
        WHERE session_id = session.id
        ORDER BY position DESC
        LIMIT 1
    ) AS latest ON TRUE
    ORDER BY wanted.number, session.last_active_at DESC, session.id DESC;
END
$$;

-- migrate:down
-- squawk-ignore-file ban-drop-column, ban-drop-constraint, ban-drop-function, constraint-missing-not-valid, require-concurrent-index-deletion
DROP FUNCTION list_sessions(TEXT [], TEXT [], TIMESTAMPTZ [], UUID [], INT []);
DROP FUNCTION update_users(TEXT [], TEXT [], TEXT [], TEXT [], TIMESTAMPTZ [], TIMESTAMPTZ [], TIMESTAMPTZ []);
DROP FUNCTION lookup_users(TEXT []);
DROP TRIGGER users_clear_image_url ON users;
DROP FUNCTION clear_image_url();
-- The nearest that the code before has.
UPDATE sessions SET status = 'completed' WHERE status = 'archived';
ALTER TABLE sessions
DROP COLUMN scenario_slug,
DROP CONSTRAINT sessions_status_check,
ADD CONSTRAINT sessions_status_check CHECK (status IN ('active', 'completed', 'abandoned'));
ALTER TABLE users DROP COLUMN image_url;
DROP TABLE scenarios;
