-- list_neighbours: assistants of a few other users, those next to a user by their ids, which are random. No row: there is
-- no other user.
-- user_id: the user.
-- count: how many at most, on each side.
(
    SELECT assistant_id
    FROM users
    WHERE id > %(user_id)s
        AND deleted_at IS NULL
    ORDER BY id
    LIMIT %(count)s
)
UNION ALL
(
    SELECT assistant_id
    FROM users
    WHERE id < %(user_id)s
        AND deleted_at IS NULL
    ORDER BY id DESC
    LIMIT %(count)s
);
