-- list_messages: for each of several requests, the last messages of a session before a position, the newest first. No
-- row for a request: as in find_session. A session without messages, or of a deleted user: one row whose message_id is
-- NULL.
-- session_ids, owner_ids: one for each request, as in find_session.
-- befores: the position that the page before began with; NULL for the end of the session.
-- page_sizes: how many at most.
-- page_bytes: after so much text, only that there is more: the content of the rest is NULL.
SELECT number, message_id, role, content, metadata, created_at, position, is_deleted
FROM list_messages(
    %(session_ids)s::UUID[], %(owner_ids)s::TEXT[], %(befores)s::BIGINT[], %(page_sizes)s::INT[], %(page_bytes)s::INT
);
