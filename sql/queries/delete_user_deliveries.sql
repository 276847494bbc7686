-- delete_user_deliveries: deletes what the history has of a user. Returns no row.
-- clerk_id: the user's Clerk id.
DELETE FROM deliveries
WHERE clerk_id = %(clerk_id)s;
