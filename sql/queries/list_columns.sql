-- list_columns: the columns of every table and view of a schema that this user may read, with Postgres' names for their
-- types, in the order of the table.
-- schema: its name.
SELECT table_name::TEXT AS table_name, column_name::TEXT AS column_name, data_type::TEXT AS data_type
FROM information_schema.columns
WHERE table_schema = %(schema)s
    AND has_column_privilege(format('%%I.%%I', table_schema, table_name), column_name, 'SELECT')
ORDER BY table_name, ordinal_position;
