-- insert_messages: add messages to sessions, to each all of its messages or none, in the order given; a row for each.
-- No row for a session: there is none, it is another user's, its user is deleted, or another transaction holds it, which
-- is not waited for.
-- session_ids, owner_ids: one for each session; an owner as in find_session.
-- session_numbers: for each message, which of the sessions it belongs to, from 1.
-- roles, contents, documents: one for each message; a document is its metadata.
SELECT message_id, session_id, metadata, created_at, position
FROM insert_messages(
    %(session_ids)s::UUID[], %(owner_ids)s::TEXT[], %(session_numbers)s::INT[],
    %(roles)s::TEXT[], %(contents)s::TEXT[], %(documents)s::JSONB[]
);
