-- insert_action: remembers that an operator begins something. Always one row.
-- who, action, clerk_id: as the columns.
-- result: what to say of it until it ends.
INSERT INTO actions (who, action, clerk_id, result)
VALUES (%(who)s, %(action)s, %(clerk_id)s, %(result)s)
RETURNING id;
