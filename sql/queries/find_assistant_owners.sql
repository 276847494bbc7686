-- find_assistant_owners: which of these assistants some row names, and whose row; the emptied rows count as well.
-- assistant_ids: Backboard's ids, in lower case.
SELECT assistant_id, clerk_id
FROM users
WHERE assistant_id = ANY(%(assistant_ids)s::TEXT[]);
