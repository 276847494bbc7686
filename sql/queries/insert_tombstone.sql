-- insert_tombstone: this user is gone for good. No row comes back; a tombstone that stood stays as it was.
-- clerk_id: whom.
INSERT INTO deleted_users (clerk_id)
VALUES (%(clerk_id)s)
ON CONFLICT ON CONSTRAINT deleted_users_pkey DO NOTHING;
