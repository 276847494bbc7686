-- insert_messages: add messages to sessions, to each all of its messages or none, in the order given; a row for each, and
-- those without ids in that order. One that was stored under its id before comes back as it was stored; is_conflict says
-- that something else stands under an id, and that nothing was stored in the session.
-- No row for a session: there is none, it is another user's, its user is deleted, or another transaction holds it, which
-- is not waited for.
-- session_ids, owner_ids: one for each session; an owner as in find_session.
-- session_numbers: for each message, which of the sessions it belongs to, from 1.
-- ids: one for each message; NULL where the caller has given none.
-- roles, contents, documents: one for each message; a document is its metadata.
SELECT message_id, session_id, metadata, created_at, position, is_conflict
FROM add_messages(
    %(session_ids)s::UUID[], %(owner_ids)s::TEXT[], %(session_numbers)s::INT[], %(ids)s::UUID[],
    %(roles)s::TEXT[], %(contents)s::TEXT[], %(documents)s::JSONB[]
);
