-- migrate:up
-- Messages that may be repeated under an id of the caller's, metadata that may be changed, and the number of messages in
-- each session. The code that is still running may go on: what it calls keeps its name, and counts as well.
SET LOCAL lock_timeout = '3s';
SET LOCAL statement_timeout = '30s';

-- How many messages the session has; NULL where they were never counted: the session is older than the column, or was
-- written by hand. Then it is counted when it is read, and stored with the next message. Everything that writes it holds
-- the session's row.
ALTER TABLE sessions ADD COLUMN message_count BIGINT;

-- The metadata that the message came with, where it has been changed since; JSON's null for none. NULL: as it came. A
-- repetition of the message is compared with this, and answered with it.
ALTER TABLE messages ADD COLUMN sent_metadata JSONB;

-- What the code that is still running calls: messages without ids.
CREATE OR REPLACE FUNCTION insert_messages(
    session_ids UUID [], owner_ids TEXT [], session_numbers INT [], roles TEXT [], contents TEXT [], documents JSONB []
)
RETURNS TABLE (message_id TEXT, session_id TEXT, metadata TEXT, created_at TIMESTAMPTZ, "position" BIGINT)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = OFF
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT message_id, session_id, metadata, created_at, position
    FROM add_messages(session_ids, owner_ids, session_numbers, '{}', roles, contents, documents);
END
$$;

-- Adds messages to sessions, to each all of its messages or none. The sessions' rows are locked first, in the order of
-- their ids; a session that another transaction holds is left out. What follows sees all that was committed before the
-- locks were free, and draws the positions after that, so a rival that comes second stands behind. Where the sequence
-- lags, as after a copy of the rows alone, the session's last position is gone on from.
-- A message whose id is stored already, with all else the same, is not stored again: it comes back as it was stored. Where
-- something differs, it comes back with is_conflict, and nothing is stored in its session. Of two rivals that store one id
-- in two sessions at the same time, the second waits for the first and violates messages_pkey. So the rows are stored in
-- the order of their ids: a transaction that waits for an id holds smaller ones and sessions, and sessions are waited for
-- by transactions without ids only. No circle can come of it.
CREATE FUNCTION add_messages(
    session_ids UUID [], owner_ids TEXT [], session_numbers INT [], ids UUID [], roles TEXT [], contents TEXT [],
    documents JSONB []
)
RETURNS TABLE (
    message_id TEXT, session_id TEXT, metadata TEXT, created_at TIMESTAMPTZ, "position" BIGINT, is_conflict BOOLEAN
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = OFF
AS $$
#variable_conflict use_column
DECLARE
    positions REGCLASS := pg_get_serial_sequence('messages', 'position');
    -- The identity column draws without this right, and a role may have been granted the tables alone.
    may_draw BOOLEAN := has_sequence_privilege(positions, 'USAGE');
    free UUID [] := ARRAY(
        SELECT id
        FROM sessions
        WHERE id = ANY(session_ids)
        ORDER BY id
        FOR NO KEY UPDATE SKIP LOCKED
    );
    -- The session of each message; NULL where it is not to be stored.
    places INT [] := session_numbers;
    stored RECORD;
BEGIN
    IF array_remove(ids, NULL) <> '{}' THEN
        FOR stored IN
            SELECT
                new.number, new.session_number, messages.id, sessions.id AS session_id,
                coalesce(messages.sent_metadata, messages.metadata, 'null') AS metadata, messages.created_at,
                messages.position,
                messages.session_id <> sessions.id OR messages.role <> new.role OR messages.content <> new.content
                OR coalesce(messages.sent_metadata, messages.metadata, 'null') <> coalesce(new.document, 'null')
                AS is_conflict
            FROM unnest(session_numbers, ids, roles, contents, documents)
                WITH ORDINALITY AS new (session_number, id, role, content, document, number)
            INNER JOIN messages ON messages.id = new.id
            INNER JOIN sessions ON sessions.id = session_ids[new.session_number] AND sessions.id = ANY(free)
            INNER JOIN users
                ON users.id = sessions.user_id
                AND users.deleted_at IS NULL
                AND users.clerk_id = coalesce(owner_ids[new.session_number], users.clerk_id)
        LOOP
            places[stored.number] := NULL;
            IF stored.is_conflict THEN
                places := array_replace(places, stored.session_number, NULL);
            END IF;
            message_id := stored.id;
            session_id := stored.session_id;
            metadata := nullif(stored.metadata, 'null');
            created_at := stored.created_at;
            position := stored.position;
            is_conflict := stored.is_conflict;
            RETURN NEXT;
        END LOOP;
    END IF;

    RETURN QUERY
    WITH session AS (
        UPDATE sessions
        SET
            last_active_at = greatest(sessions.last_active_at, clock_timestamp()),
            message_count = cardinality(array_positions(places, wanted.number::INT)) + coalesce(
                sessions.message_count, (SELECT count(*) FROM messages WHERE messages.session_id = sessions.id)
            )
        FROM users, unnest(session_ids, owner_ids) WITH ORDINALITY AS wanted (session_id, owner_id, number)
        WHERE sessions.id = wanted.session_id
            AND sessions.id = ANY(free)
            AND wanted.number = ANY(places)
            AND users.id = sessions.user_id
            AND users.deleted_at IS NULL
            AND users.clerk_id = coalesce(wanted.owner_id, users.clerk_id)
        RETURNING
            sessions.id, sessions.last_active_at, wanted.number,
            (SELECT coalesce(max(position), 0) FROM messages WHERE session_id = sessions.id) AS last_position
    ),

    -- A position is drawn when the rows stand in their order.
    message AS (
        SELECT
            session.id AS session_id, session.last_active_at, new.id, new.role, new.content, new.document, new.number,
            greatest(
                CASE WHEN may_draw THEN nextval(positions) END,
                session.last_position + row_number() OVER (PARTITION BY session.id ORDER BY new.number)
            ) AS position
        FROM session
        INNER JOIN unnest(places, ids, roles, contents, documents)
            WITH ORDINALITY AS new (session_number, id, role, content, document, number)
            ON new.session_number = session.number
        ORDER BY new.number
    )

    INSERT INTO messages (id, session_id, role, content, metadata, created_at, position)
    SELECT coalesce(id, gen_random_uuid()), session_id, role, content, document, last_active_at, position
    FROM message
    ORDER BY id, number
    RETURNING id::TEXT, session_id::TEXT, metadata::TEXT, created_at, position, FALSE;
END
$$;

-- Keeps the count of a session whose messages are deleted, by this code, by the code before it or by hand. The row is
-- written where there is no count as well, so that the next one who counts waits for this deletion. A TRUNCATE leaves
-- none to count.
CREATE FUNCTION uncount_messages()
RETURNS TRIGGER
LANGUAGE plpgsql
SET enable_seqscan = OFF
-- Also for a connection that looks elsewhere first.
SET search_path FROM CURRENT
AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        UPDATE sessions SET message_count = 0 WHERE message_count <> 0;
        RETURN NULL;
    END IF;

    UPDATE sessions
    SET message_count = sessions.message_count - gone.number
    FROM (SELECT session_id, count(*) AS number FROM deleted GROUP BY session_id) AS gone
    WHERE sessions.id = gone.session_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER messages_uncount
AFTER DELETE ON messages
REFERENCING OLD TABLE AS deleted
FOR EACH STATEMENT EXECUTE FUNCTION uncount_messages();

CREATE TRIGGER messages_uncount_all
AFTER TRUNCATE ON messages
FOR EACH STATEMENT EXECUTE FUNCTION uncount_messages();

-- migrate:down
-- squawk-ignore-file ban-drop-column, ban-drop-function
DROP TRIGGER messages_uncount_all ON messages;
DROP TRIGGER messages_uncount ON messages;
DROP FUNCTION uncount_messages();
-- As 0004 made it.
CREATE OR REPLACE FUNCTION insert_messages(
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

DROP FUNCTION add_messages(UUID [], TEXT [], INT [], UUID [], TEXT [], TEXT [], JSONB []);
ALTER TABLE messages DROP COLUMN sent_metadata;
ALTER TABLE sessions DROP COLUMN message_count;
