-- update_message: change the metadata of a message, and keep what it came with. No row: it is not there, or as in
-- find_session.
-- message_id: which.
-- session_id, owner_id: as in find_session.
-- document: the members to set.
-- removed: the members to take out.
UPDATE messages
SET
    metadata = (coalesce(messages.metadata, '{}') || %(document)s::JSONB) - %(removed)s::TEXT[],
    sent_metadata = coalesce(messages.sent_metadata, messages.metadata, 'null')
FROM sessions, users
WHERE messages.id = %(message_id)s
    AND messages.session_id = %(session_id)s
    AND sessions.id = messages.session_id
    AND users.id = sessions.user_id
    AND users.deleted_at IS NULL
    AND users.clerk_id = coalesce(%(owner_id)s::TEXT, users.clerk_id)
RETURNING
    messages.id::TEXT AS message_id, messages.session_id::TEXT AS session_id, messages.role, messages.content,
    messages.metadata::TEXT AS metadata, messages.created_at, messages.position;
