-- delete_preferences: deletes the chat preferences of a user. Returns no row.
-- clerk_id: the user's Clerk id.
DELETE FROM preferences
USING users
WHERE users.id = preferences.user_id
    AND users.clerk_id = %(clerk_id)s;
