-- update_action: remembers what became of something that an operator has begun. Returns no row.
-- id: its number.
-- clerk_id: the user it was about; NULL where the user has been erased.
-- result: what became of it.
UPDATE actions
SET ended_at = now(), clerk_id = %(clerk_id)s, result = %(result)s
WHERE id = %(id)s::BIGINT;
