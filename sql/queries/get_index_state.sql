-- get_index_state: whether an index of a table can be used, and whether a process is building an index of that table. Always
-- one row; is_valid is NULL where the table has no index of this name, and false while it is built or after that failed.
-- name: the index.
-- table_name: the table.
SELECT
    (
        SELECT pg_index.indisvalid
        FROM pg_index
        INNER JOIN pg_class ON pg_class.oid = pg_index.indexrelid
        WHERE pg_class.relname = %(name)s::TEXT
            AND pg_index.indrelid = wanted.oid
    ) AS is_valid,
    EXISTS (
        SELECT FROM pg_stat_progress_create_index AS build
        INNER JOIN pg_locks ON pg_locks.pid = build.pid
        WHERE build.datid = pg_locks.database
            AND pg_locks.relation = wanted.oid
            AND pg_locks.granted
    ) AS is_being_built
FROM (SELECT to_regclass(%(table_name)s::TEXT) AS oid) AS wanted;
