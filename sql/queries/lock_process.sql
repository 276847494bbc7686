-- lock_process: the number of the last write of a process that was committed, after a wait for one that is still being
-- decided. No row: none was.
-- id: the process.
SELECT writes
FROM processes
WHERE id = %(id)s
FOR UPDATE;
