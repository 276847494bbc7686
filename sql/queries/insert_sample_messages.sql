-- insert_sample_messages: messages of sample sessions, which are to be counted again; an existing one stays as it is.
-- message_ids: their ids.
-- roles, contents, session_ids: one for each id, in the same order.
WITH uncounted AS (
    UPDATE sessions
    SET message_count = NULL
    WHERE id = ANY(%(session_ids)s::UUID[])
)
INSERT INTO messages (id, role, content, session_id)
SELECT sample.id, sample.role, sample.content, sessions.id
FROM unnest(%(message_ids)s::UUID[], %(roles)s::TEXT[], %(contents)s::TEXT[], %(session_ids)s::UUID[])
    AS sample (id, role, content, session_id)
INNER JOIN sessions ON sessions.id = sample.session_id
ON CONFLICT DO NOTHING;
