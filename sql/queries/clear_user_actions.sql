-- clear_user_actions: takes a user out of what operators have done; that they did it stays. Returns no row.
-- clerk_id: the user's Clerk id.
UPDATE actions
SET clerk_id = NULL
WHERE clerk_id = %(clerk_id)s;
