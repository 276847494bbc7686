-- delete_preferences: the chat's own settings of a user. No row comes back.
-- clerk_id: whose.
DELETE FROM preferences
USING users
WHERE users.id = preferences.user_id
    AND users.clerk_id = %(clerk_id)s;
