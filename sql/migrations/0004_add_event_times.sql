-- migrate:up
-- What decides between two events of one version, and what a session is whose thread Backboard has lost. Whoever wrote
-- into these tables before may go on.
SET LOCAL lock_timeout = '3s';
SET LOCAL statement_timeout = '30s';

-- When Clerk made the event that is stored here, by Clerk's own clock: of two events of one clerk_updated_at the later
-- one holds. NULL where no event of that version was stored, so that any is taken.
ALTER TABLE users ADD COLUMN clerk_event_at TIMESTAMPTZ;

-- NULL where the assistant has vanished from Backboard, and its threads with it. The session and its messages stay.
ALTER TABLE sessions ALTER COLUMN thread_id DROP NOT NULL;

-- migrate:down
-- squawk-ignore-file ban-drop-column, adding-not-nullable-field
UPDATE sessions SET thread_id = '' WHERE thread_id IS NULL;
ALTER TABLE sessions ALTER COLUMN thread_id SET NOT NULL;
ALTER TABLE users DROP COLUMN clerk_event_at;
