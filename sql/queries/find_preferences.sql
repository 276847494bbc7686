-- find_preferences: a user's preferences, as JSON. No row: none were ever written.
-- user_id: the user.
SELECT document::TEXT AS document
FROM preferences
WHERE user_id = %(user_id)s;
