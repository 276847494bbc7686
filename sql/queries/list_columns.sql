-- list_columns: the columns of every table and view of a schema, with Postgres' names for their types, in the order of the
-- table; a type is NULL where this user may not read the column.
-- schema: its name.
SELECT
    pg_class.relname::TEXT AS table_name, pg_attribute.attname::TEXT AS column_name,
    columns.data_type::TEXT AS data_type
FROM pg_class
INNER JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
INNER JOIN pg_attribute ON pg_attribute.attrelid = pg_class.oid
LEFT JOIN information_schema.columns AS columns
    ON columns.table_schema = pg_namespace.nspname
    AND columns.table_name = pg_class.relname
    AND columns.column_name = pg_attribute.attname
    AND has_schema_privilege(pg_namespace.oid, 'USAGE')
    AND has_column_privilege(pg_class.oid, pg_attribute.attnum, 'SELECT')
WHERE pg_namespace.nspname = %(schema)s
    AND pg_class.relkind IN ('r', 'p', 'v', 'f')
    AND pg_attribute.attnum > 0
    AND NOT pg_attribute.attisdropped
ORDER BY pg_class.relname, pg_attribute.attnum;
