-- insert_migration: remember that a migration was applied, in its own transaction. No row comes back.
-- version: its number, such as 0002.
INSERT INTO clerk_backboard_migrations (version)
VALUES (%(version)s);
