-- find_tables: the tables that these names lead to. No row for a name: there is none, or only in a schema that the search
-- path or this user's rights leave out.
-- names: the names.
-- rights: for each name, the rights that are needed, with a blank between them.
SELECT
    wanted.name, pg_namespace.nspname::TEXT AS schema,
    pg_namespace.nspname = CURRENT_SCHEMA AS is_here,
    ARRAY(
        SELECT attname::TEXT
        FROM pg_attribute
        WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
    ) AS columns,
    ARRAY(
        SELECT needed
        FROM unnest(string_to_array(wanted.rights, ' ')) AS needed
        WHERE NOT has_table_privilege(pg_class.oid, needed)
    ) AS missing_rights,
    row_security_active(pg_class.oid) AS hides_rows
FROM unnest(%(names)s::TEXT[], %(rights)s::TEXT[]) AS wanted (name, rights)
INNER JOIN pg_class ON pg_class.oid = to_regclass(wanted.name)
INNER JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
ORDER BY wanted.name;
