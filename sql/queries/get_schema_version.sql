-- get_schema_version: the newest migration that was applied, such as 0002; NULL when none was.
SELECT max(version)
FROM clerk_backboard_migrations;
