-- insert_imported_messages: messages of another program, behind those of their session that are here, under
-- lock_imported_sessions; one that is here stays as it is. Always one row: how many were stored, and how many of these are
-- in their session now.
-- message_ids: their ids, in their order.
-- session_ids, roles, contents, documents, created_ats: one for each id; a document is its metadata.
WITH given AS (
    SELECT one.id, one.session_id, one.role, one.content, one.document, one.created_at, one.number
    FROM unnest(
        %(message_ids)s::UUID[], %(session_ids)s::UUID[], %(roles)s::TEXT[], %(contents)s::TEXT[],
        %(documents)s::JSONB[], %(created_ats)s::TIMESTAMPTZ[]
    ) WITH ORDINALITY AS one (id, session_id, role, content, document, created_at, number)
    INNER JOIN sessions ON sessions.id = one.session_id
    INNER JOIN users ON users.id = sessions.user_id AND users.deleted_at IS NULL
), missing AS (
    SELECT
        id, session_id, role, content, document, created_at,
        row_number() OVER (PARTITION BY session_id ORDER BY number) AS place
    FROM given
    WHERE NOT EXISTS (SELECT FROM messages WHERE messages.id = given.id)
    ORDER BY number
), stored AS (
    INSERT INTO messages (id, session_id, role, content, metadata, created_at, position)
    SELECT
        id, session_id, role, content, document, coalesce(created_at, 'epoch'),
        greatest(
            CASE
                WHEN has_sequence_privilege(pg_get_serial_sequence('messages', 'position'), 'USAGE')
                    THEN nextval(pg_get_serial_sequence('messages', 'position'))
            END,
            place + (SELECT coalesce(max(position), 0) FROM messages WHERE messages.session_id = missing.session_id)
        )
    FROM missing
    RETURNING session_id
), counted AS (
    UPDATE sessions
    SET message_count = new.number + coalesce(
        sessions.message_count, (SELECT count(id) FROM messages WHERE messages.session_id = sessions.id)
    )
    FROM (SELECT session_id, count(id) AS number FROM missing GROUP BY session_id) AS new
    WHERE sessions.id = new.session_id
)
SELECT
    (SELECT count(session_id) FROM stored) AS stored,
    (SELECT count(session_id) FROM stored) + (
        SELECT count(given.id)
        FROM given
        INNER JOIN messages ON messages.id = given.id AND messages.session_id = given.session_id
    ) AS present;
