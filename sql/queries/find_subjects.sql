-- find_subjects: what an operator may mean by an id or an e-mail address, and the user it belongs to. No row: nothing.
-- word: a Clerk id, an e-mail address, or the id of an assistant, a thread, a delivery or a request.
-- uuid: the same where it is a UUID, for the ids of sessions and messages; else NULL.
SELECT 'user' AS kind, known.clerk_id AS id, known.clerk_id
FROM (
    SELECT clerk_id FROM users WHERE clerk_id = %(word)s
    UNION
    SELECT clerk_id FROM deleted_users WHERE clerk_id = %(word)s
    UNION
    SELECT clerk_id FROM provisioning_attempts WHERE clerk_id = %(word)s
    UNION
    SELECT clerk_id FROM deliveries WHERE clerk_id = %(word)s
) AS known
UNION ALL
SELECT 'user', users.clerk_id, users.clerk_id FROM users WHERE lower(users.email) = lower(%(word)s)
UNION ALL
SELECT 'assistant', users.assistant_id, users.clerk_id FROM users WHERE users.assistant_id = %(word)s
UNION ALL
SELECT 'thread', sessions.thread_id, users.clerk_id
FROM sessions
INNER JOIN users ON users.id = sessions.user_id
WHERE sessions.thread_id = %(word)s
UNION ALL
SELECT 'session', sessions.id::TEXT, users.clerk_id
FROM sessions
INNER JOIN users ON users.id = sessions.user_id
WHERE sessions.id = %(uuid)s::UUID
UNION ALL
SELECT 'message', messages.id::TEXT, users.clerk_id
FROM messages
INNER JOIN sessions ON sessions.id = messages.session_id
INNER JOIN users ON users.id = sessions.user_id
WHERE messages.id = %(uuid)s::UUID
UNION ALL
SELECT 'delivery', svix_id, clerk_id FROM deliveries WHERE svix_id = %(word)s OR request_id = %(word)s
LIMIT 100;
