-- find_preferences: the chat's own settings of a user, as JSON. No row: none were ever written.
-- user_id: whose.
SELECT document::TEXT AS document
FROM preferences
WHERE user_id = %(user_id)s;
