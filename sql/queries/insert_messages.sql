-- insert_messages: append messages to a session, all or nothing, in the order given; a row for each. No row: there is
-- no such session, it is another user's, or its user is deleted. The session's row is locked first and the positions are
-- drawn after that, so a second writer's messages come after the first one's.
-- session_id, owner_id: as in find_session.
-- roles, contents, metadata: one for each message, in their order.
WITH session AS (
    UPDATE sessions
    SET last_active_at = greatest(sessions.last_active_at, clock_timestamp())
    FROM users
    WHERE sessions.id = %(session_id)s
        AND users.id = sessions.user_id
        AND users.deleted_at IS NULL
        AND users.clerk_id = coalesce(%(owner_id)s::TEXT, users.clerk_id)
    RETURNING sessions.id, sessions.last_active_at
)
INSERT INTO messages (session_id, role, content, metadata, created_at)
SELECT session.id, said.role, said.content, said.metadata, session.last_active_at
FROM session
CROSS JOIN unnest(%(roles)s::TEXT[], %(contents)s::TEXT[], %(metadata)s::JSONB[])
    WITH ORDINALITY AS said (role, content, metadata, number)
ORDER BY said.number
RETURNING id AS message_id, session_id, role, content, metadata::TEXT AS metadata, created_at, position;
