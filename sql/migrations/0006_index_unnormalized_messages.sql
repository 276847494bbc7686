-- migrate:up
-- A search compares texts in the Unicode form NFC. Nearly all messages are in that form as they come; this index finds
-- the others, which have to be normalized first, also those of before. It is small, and does not need pg_trgm.
SET LOCAL lock_timeout = '3s';
SET LOCAL statement_timeout = '300s';

-- One pass over the messages, about 30 MB of text a second; a concurrent one could not run in a transaction.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX messages_session_id_unnormalized_idx ON messages (session_id) WHERE content IS NOT NFC NORMALIZED;

-- migrate:down
-- squawk-ignore-file require-concurrent-index-deletion
DROP INDEX messages_session_id_unnormalized_idx;
