-- find_schemas: the schemas in which `migrate` has been, whether the search path leads there or not.
SELECT pg_namespace.nspname::TEXT AS schema, has_schema_privilege(pg_namespace.oid, 'USAGE') AS may_look
FROM pg_class
INNER JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
WHERE pg_class.relname = 'clerk_backboard_migrations'
    AND pg_class.relkind = 'r'
ORDER BY schema;
