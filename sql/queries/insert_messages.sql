-- insert_messages: add messages to sessions, to each all of its messages or none, in the order given; a row for each.
-- No row for a session: there is none, it is another user's, its user is deleted, or another transaction holds it, which
-- is not waited for. The sessions' rows are locked first and the positions are drawn after that, so a rival that comes
-- second stands behind.
-- session_ids, owner_ids: one for each session; an owner as in find_session.
-- numbers: for each message, which of the sessions it belongs to, from 1.
-- roles, contents, metadata: one for each message.
WITH wanted AS (
    SELECT session_id, owner_id, number
    FROM unnest(%(session_ids)s::UUID[], %(owner_ids)s::TEXT[]) WITH ORDINALITY AS wanted (session_id, owner_id, number)
),

free AS (
    SELECT id
    FROM sessions
    WHERE id = ANY(%(session_ids)s::UUID[])
    ORDER BY id
    FOR NO KEY UPDATE SKIP LOCKED
),

session AS (
    UPDATE sessions
    SET last_active_at = greatest(sessions.last_active_at, clock_timestamp())
    FROM free, wanted, users
    WHERE sessions.id = free.id
        AND wanted.session_id = sessions.id
        AND users.id = sessions.user_id
        AND users.deleted_at IS NULL
        AND users.clerk_id = coalesce(wanted.owner_id, users.clerk_id)
    RETURNING sessions.id, sessions.last_active_at, wanted.number
)

INSERT INTO messages (session_id, role, content, metadata, created_at)
SELECT session.id, message.role, message.content, message.metadata, session.last_active_at
FROM session
INNER JOIN unnest(%(numbers)s::INT[], %(roles)s::TEXT[], %(contents)s::TEXT[], %(metadata)s::JSONB[])
    WITH ORDINALITY AS message (session_number, role, content, metadata, number)
    ON message.session_number = session.number
ORDER BY message.number
RETURNING id::TEXT AS message_id, session_id::TEXT, metadata::TEXT AS metadata, created_at, position;
