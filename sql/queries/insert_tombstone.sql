-- insert_tombstone: mark a user as deleted for good. No row comes back; an earlier tombstone stays as it was.
-- clerk_id: the user.
INSERT INTO deleted_users (clerk_id)
VALUES (%(clerk_id)s)
ON CONFLICT ON CONSTRAINT deleted_users_pkey DO NOTHING;
