-- lock_user_row: wait for the row of a user, and hold it until the transaction ends. No row: there is none.
-- clerk_id: the user.
SELECT id
FROM users
WHERE clerk_id = %(clerk_id)s
FOR NO KEY UPDATE;
