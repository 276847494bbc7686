-- clear_threads: a user's threads went with the assistant; the sessions and their messages stay. No row comes back.
-- clerk_id: the user.
UPDATE sessions
SET thread_id = NULL
FROM users
WHERE users.id = sessions.user_id
    AND users.clerk_id = %(clerk_id)s
    AND sessions.thread_id IS NOT NULL;
