-- list_user_messages: every message of a user, whole and as JSON, a session's behind each other and in their order.
-- clerk_id: the user.
SELECT 'message' AS kind, to_jsonb(messages)::TEXT AS content
FROM users
INNER JOIN sessions ON sessions.user_id = users.id
INNER JOIN messages ON messages.session_id = sessions.id
WHERE users.clerk_id = %(clerk_id)s
ORDER BY messages.session_id, messages.position;
