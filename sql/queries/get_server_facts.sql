-- get_server_facts: what the server is, and how many connections this user may have in this database. Always one row.
SELECT
    current_setting('server_version_num')::INT AS version,
    current_setting('transaction_read_only')::BOOL AS read_only,
    least(
        current_setting('max_connections')::INT,
        (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = CURRENT_USER),
        (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database())
    ) AS connections;
