-- delete_user: deletes the row of a user without any other data. The tombstone stays. Returns no row.
-- clerk_id: the user's Clerk id.
DELETE FROM users
WHERE clerk_id = %(clerk_id)s;
