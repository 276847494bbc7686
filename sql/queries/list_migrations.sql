-- list_migrations: the versions that were applied, such as 0002.
SELECT version
FROM clerk_backboard_migrations
ORDER BY version;
