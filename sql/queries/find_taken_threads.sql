-- find_taken_threads: which of these threads belong to a session, or to one that was deleted.
-- thread_ids: Backboard's ids, in lower case.
SELECT thread_id
FROM sessions
WHERE thread_id = ANY(%(thread_ids)s::TEXT[])
UNION ALL
SELECT thread_id
FROM deleted_threads
WHERE thread_id = ANY(%(thread_ids)s::TEXT[]);
