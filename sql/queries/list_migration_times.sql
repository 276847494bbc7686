-- list_migration_times: the versions that were applied, such as 0002, and when.
SELECT version, applied_at
FROM clerk_backboard_migrations
ORDER BY version;
