-- list_defaults: the values of settings in a new session, and where they were set: database, user, client and so on. No row
-- for one that this release of Postgres does not know.
-- names: the settings.
SELECT name, setting, source
FROM pg_settings
WHERE name = ANY(%(names)s::TEXT[])
ORDER BY name;
