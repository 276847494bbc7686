-- delete_user: the row of a user to whom nothing belongs any more. The tombstone stays. No row comes back.
-- clerk_id: whose.
DELETE FROM users
WHERE clerk_id = %(clerk_id)s;
