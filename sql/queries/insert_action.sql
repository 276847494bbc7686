-- insert_action: remembers what an operator has done. Always one row.
-- who, action, clerk_id, result: as the columns.
INSERT INTO actions (who, action, clerk_id, result)
VALUES (%(who)s, %(action)s, %(clerk_id)s, %(result)s)
RETURNING id;
