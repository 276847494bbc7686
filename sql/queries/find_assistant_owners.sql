-- find_assistant_owners: the users whose rows name these assistants; rows without a profile count as well.
-- assistant_ids: Backboard's ids, in lower case.
SELECT assistant_id, clerk_id
FROM users
WHERE assistant_id = ANY(%(assistant_ids)s::TEXT[]);
