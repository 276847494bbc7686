-- migrate:up transaction:false
-- A search compares texts in the Unicode form NFC. Nearly all messages are in that form as they come; this index finds
-- the others, which have to be normalized first, also those of before. It is small, and does not need pg_trgm.
-- One pass over the messages, about 30 MB of text a second, beside which the service goes on writing.
CREATE INDEX CONCURRENTLY IF NOT EXISTS messages_session_id_unnormalized_idx
ON messages (session_id) WHERE content IS NOT NFC NORMALIZED;

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY IF EXISTS messages_session_id_unnormalized_idx;
