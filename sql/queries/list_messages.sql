-- list_messages: for each of several requests, the last messages of a session before a position, the newest first. No
-- row for a request: as in find_session. A session without messages, or of a deleted user: one row whose message_id is
-- NULL.
-- session_ids, owner_ids: one for each request, as in find_session.
-- befores: the position that the page before began with; NULL for the end of the session.
-- page_sizes: how many at most.
-- page_bytes: after so much text, only that there is more: the content of the rest is NULL.
SELECT
    wanted.number, message.id::TEXT AS message_id, message.role,
    CASE WHEN message.newer_bytes < %(page_bytes)s THEN message.content END AS content,
    message.metadata, message.created_at, message.position,
    users.deleted_at IS NOT NULL AS is_deleted
FROM unnest(%(session_ids)s::UUID[], %(owner_ids)s::TEXT[], %(befores)s::BIGINT[], %(page_sizes)s::INT[])
    WITH ORDINALITY AS wanted (session_id, owner_id, before, page_size, number)
INNER JOIN sessions ON sessions.id = wanted.session_id
INNER JOIN users ON users.id = sessions.user_id AND users.clerk_id = coalesce(wanted.owner_id, users.clerk_id)
LEFT JOIN LATERAL (
    SELECT id, role, content, metadata::TEXT AS metadata, created_at, position,
        sum(octet_length(content)) OVER (ORDER BY position DESC ROWS UNBOUNDED PRECEDING)
            - octet_length(content) AS newer_bytes
    FROM messages
    WHERE session_id = sessions.id
        AND users.deleted_at IS NULL
        AND position < coalesce(wanted.before, 9223372036854775807)
    ORDER BY position DESC
    LIMIT wanted.page_size
) AS message ON TRUE
ORDER BY wanted.number, message.position DESC;
