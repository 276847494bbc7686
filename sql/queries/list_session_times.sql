-- list_session_times: when a user's sessions began and ended, newest first; nothing of what was said.
-- clerk_id: the user.
-- page_size: the number of rows at most.
SELECT sessions.id, sessions.status, sessions.created_at, sessions.ended_at
FROM sessions
INNER JOIN users ON users.id = sessions.user_id
WHERE users.clerk_id = %(clerk_id)s
ORDER BY sessions.last_active_at DESC, sessions.id DESC
LIMIT %(page_size)s;
