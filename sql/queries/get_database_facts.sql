-- get_database_facts: which database, user and schema the address leads to, and how the database stores text. Always one
-- row; schema is NULL where the search path leads to no schema that exists and that this user may look into.
SELECT
    current_database()::TEXT AS database,
    CURRENT_USER::TEXT AS role,
    CURRENT_SCHEMA::TEXT AS schema,
    current_setting('search_path') AS search_path,
    current_setting('server_encoding') AS encoding;
