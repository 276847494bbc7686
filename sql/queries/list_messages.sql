-- list_messages: the last messages of a session before a position, the newest first. No row: as in find_session.
-- A session without messages, or of a deleted user: one row, in which message_id is NULL.
-- session_id, owner_id: as in find_session.
-- before: the position that the page before began with; NULL for the end of the session.
-- page_size: how many at most.
-- page_bytes: after so much text, the content of the remaining messages is NULL.
SELECT
    said.id AS message_id, said.session_id, said.role,
    CASE WHEN said.newer_bytes < %(page_bytes)s THEN said.content END AS content,
    said.metadata, said.created_at, said.position,
    users.deleted_at IS NOT NULL AS is_deleted
FROM sessions
INNER JOIN users ON users.id = sessions.user_id
LEFT JOIN LATERAL (
    SELECT id, session_id, role, content, metadata::TEXT AS metadata, created_at, position,
        sum(octet_length(content)) OVER (ORDER BY position DESC ROWS UNBOUNDED PRECEDING)
            - octet_length(content) AS newer_bytes
    FROM messages
    WHERE session_id = sessions.id
        AND users.deleted_at IS NULL
        AND position < coalesce(%(before)s::BIGINT, 9223372036854775807)
    ORDER BY position DESC
    LIMIT %(page_size)s
) AS said ON TRUE
WHERE sessions.id = %(session_id)s
    AND users.clerk_id = coalesce(%(owner_id)s::TEXT, users.clerk_id)
ORDER BY said.position DESC;
