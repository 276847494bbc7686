-- delete_migration: remember that a migration was taken back, in its own transaction. No row comes back.
-- version: its number, such as 0002.
DELETE FROM clerk_backboard_migrations
WHERE version = %(version)s;
