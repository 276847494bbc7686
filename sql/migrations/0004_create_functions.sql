-- migrate:up
-- What every message of a chat and every event of Clerk's asks, as functions. Postgres keeps the plan of a statement in
-- PL/pgSQL for as long as its connection lives, also behind a pooler in transaction mode, where nobody may keep a
-- prepared statement; planning these took longer than running them. Each takes many requests, and its plan is made once,
-- for any number of them and along the indexes: the tables may still be empty then.
SET LOCAL lock_timeout = '3s';
SET LOCAL statement_timeout = '30s';

-- The rows and the tombstones of users. A tombstone comes as a row of its own in which only clerk_id and deleted_at are
-- set.
CREATE FUNCTION find_users(clerk_ids TEXT [])
RETURNS TABLE (
    id UUID, clerk_id TEXT, assistant_id TEXT, email TEXT, name TEXT, created_at TIMESTAMPTZ,
    clerk_updated_at TIMESTAMPTZ, last_sign_in_at TIMESTAMPTZ, deleted_at TIMESTAMPTZ
)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = OFF
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT id, clerk_id, assistant_id, email, name, created_at, clerk_updated_at, last_sign_in_at, deleted_at
    FROM users
    WHERE clerk_id = ANY(clerk_ids)
    UNION ALL
    SELECT NULL, clerk_id, NULL, NULL, NULL, NULL, NULL, NULL, deleted_at
    FROM deleted_users
    WHERE clerk_id = ANY(clerk_ids);
END
$$;

-- Adds messages to sessions, to each all of its messages or none. The sessions' rows are locked first, in the order of
-- their ids, and the positions are drawn after that, so a rival that comes second stands behind; a session that another
-- transaction holds is left out. Where the sequence lags, as after a copy of the rows alone, the session's last position
-- is gone on from. Of two rivals that have both seen the same last position, the second violates the unique index.
CREATE FUNCTION insert_messages(
    session_ids UUID [], owner_ids TEXT [], session_numbers INT [], roles TEXT [], contents TEXT [], documents JSONB []
)
RETURNS TABLE (message_id TEXT, session_id TEXT, metadata TEXT, created_at TIMESTAMPTZ, "position" BIGINT)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = OFF
AS $$
#variable_conflict use_column
DECLARE
    positions REGCLASS := pg_get_serial_sequence('messages', 'position');
    -- The identity column draws without this right, and a role may have been granted the tables alone.
    may_draw BOOLEAN := has_sequence_privilege(positions, 'USAGE');
BEGIN
    RETURN QUERY
    WITH free AS (
        SELECT id
        FROM sessions
        WHERE id = ANY(session_ids)
        ORDER BY id
        FOR NO KEY UPDATE SKIP LOCKED
    ),

    session AS (
        UPDATE sessions
        SET last_active_at = greatest(sessions.last_active_at, clock_timestamp())
        FROM free, users, unnest(session_ids, owner_ids) WITH ORDINALITY AS wanted (session_id, owner_id, number)
        WHERE sessions.id = free.id
            AND wanted.session_id = sessions.id
            AND users.id = sessions.user_id
            AND users.deleted_at IS NULL
            AND users.clerk_id = coalesce(wanted.owner_id, users.clerk_id)
        RETURNING
            sessions.id, sessions.last_active_at, wanted.number,
            (SELECT coalesce(max(position), 0) FROM messages WHERE session_id = sessions.id) AS last_position
    ),

    message AS (
        SELECT
            session.id, session.last_active_at, session.last_position, new.role, new.content, new.document, new.number,
            row_number() OVER (PARTITION BY session.id ORDER BY new.number) AS place
        FROM session
        INNER JOIN unnest(session_numbers, roles, contents, documents)
            WITH ORDINALITY AS new (session_number, role, content, document, number)
            ON new.session_number = session.number
        ORDER BY new.number
    )

    INSERT INTO messages (session_id, role, content, metadata, created_at, position)
    SELECT
        id, role, content, document, last_active_at,
        greatest(CASE WHEN may_draw THEN nextval(positions) END, last_position + place)
    FROM message
    RETURNING id::TEXT, session_id::TEXT, metadata::TEXT, created_at, position;
END
$$;

-- The last messages of sessions before a position, the newest first. After page_bytes of text and metadata in a page,
-- content and metadata of the rest of it are NULL.
CREATE FUNCTION list_messages(
    session_ids UUID [], owner_ids TEXT [], befores BIGINT [], page_sizes INT [], page_bytes INT
)
RETURNS TABLE (
    number BIGINT, message_id TEXT, role TEXT, content TEXT, metadata TEXT, created_at TIMESTAMPTZ, "position" BIGINT,
    is_deleted BOOLEAN
)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = OFF
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT
        wanted.number, message.id::TEXT, message.role,
        CASE WHEN coalesce(message.newer_bytes, 0) < page_bytes THEN message.content END,
        CASE WHEN coalesce(message.newer_bytes, 0) < page_bytes THEN message.metadata END,
        message.created_at, message.position,
        users.deleted_at IS NOT NULL
    FROM unnest(session_ids, owner_ids, befores, page_sizes)
        WITH ORDINALITY AS wanted (session_id, owner_id, before, page_size, number)
    INNER JOIN sessions ON sessions.id = wanted.session_id
    INNER JOIN users ON users.id = sessions.user_id AND users.clerk_id = coalesce(wanted.owner_id, users.clerk_id)
    LEFT JOIN LATERAL (
        SELECT id, role, content, metadata, created_at, position,
            sum(octet_length(content) + coalesce(octet_length(metadata), 0))
                OVER (ORDER BY position DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS newer_bytes
        FROM (
            SELECT id, role, content, metadata::TEXT AS metadata, created_at, position
            FROM messages
            WHERE session_id = sessions.id
                AND users.deleted_at IS NULL
                AND position < coalesce(wanted.before, 9223372036854775807)
            ORDER BY position DESC
            LIMIT wanted.page_size
        ) AS page
    ) AS message ON TRUE
    ORDER BY wanted.number, message.position DESC;
END
$$;

-- Pages of users' sessions with the latest message in each, the newest activity first.
CREATE FUNCTION list_sessions(
    clerk_ids TEXT [], active_befores TIMESTAMPTZ [], id_befores UUID [], page_sizes INT []
)
RETURNS TABLE (
    session_id UUID, clerk_id TEXT, assistant_id TEXT, thread_id TEXT, title TEXT, status TEXT,
    created_at TIMESTAMPTZ, last_active_at TIMESTAMPTZ, ended_at TIMESTAMPTZ,
    message_id UUID, role TEXT, preview TEXT, message_created_at TIMESTAMPTZ, is_deleted BOOLEAN,
    number BIGINT
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
        session.created_at, session.last_active_at, session.ended_at,
        latest.id, latest.role, latest.preview, latest.created_at,
        users.deleted_at IS NOT NULL OR deleted_users.clerk_id IS NOT NULL,
        wanted.number
    FROM unnest(clerk_ids, active_befores, id_befores, page_sizes)
        WITH ORDINALITY AS wanted (clerk_id, active_before, id_before, page_size, number)
    LEFT JOIN users ON users.clerk_id = wanted.clerk_id
    LEFT JOIN deleted_users ON deleted_users.clerk_id = wanted.clerk_id
    LEFT JOIN LATERAL (
        SELECT id, thread_id, title, status, created_at, last_active_at, ended_at
        FROM sessions
        WHERE user_id = users.id
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
-- squawk-ignore-file ban-drop-function
DROP FUNCTION list_sessions(TEXT [], TIMESTAMPTZ [], UUID [], INT []);
DROP FUNCTION list_messages(UUID [], TEXT [], BIGINT [], INT [], INT);
DROP FUNCTION insert_messages(UUID [], TEXT [], INT [], TEXT [], TEXT [], JSONB []);
DROP FUNCTION find_users(TEXT []);
