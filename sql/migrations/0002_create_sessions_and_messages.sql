-- migrate:up
-- The chat's memory: what the chat backend reads and writes beside Backboard's own threads.
SET LOCAL lock_timeout = '3s';
SET LOCAL statement_timeout = '30s';

-- One conversation. It outlives its user's deletion: no cascade, on purpose.
CREATE TABLE sessions (
    id UUID NOT NULL DEFAULT gen_random_uuid(),
    title TEXT NOT NULL DEFAULT 'New Trip',
    user_id UUID NOT NULL,
    -- Backboard's thread under the user's assistant.
    thread_id TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT sessions_pkey PRIMARY KEY (id),
    CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id)
);

CREATE INDEX sessions_user_id_idx ON sessions (user_id);

-- What was said in a session, by the user or by the assistant.
CREATE TABLE messages (
    id UUID NOT NULL DEFAULT gen_random_uuid(),
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    session_id UUID NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT messages_pkey PRIMARY KEY (id),
    CONSTRAINT messages_role_check CHECK (role IN ('user', 'assistant')),
    CONSTRAINT messages_session_id_fkey FOREIGN KEY (session_id) REFERENCES sessions (id)
);

CREATE INDEX messages_session_id_created_at_idx ON messages (session_id, created_at);

-- migrate:down
DROP TABLE messages;
DROP TABLE sessions;
