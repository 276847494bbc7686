-- migrate:up
-- The people, who of them is gone, and the doubts that are open about their assistants.
SET LOCAL lock_timeout = '3s';
SET LOCAL statement_timeout = '30s';

-- One row for each Clerk user that has an assistant at Backboard. Provisioning inserts it, Clerk's events
-- update it, and a deletion empties it: the row stays, because the user's sessions refer to it.
CREATE TABLE users (
    id UUID NOT NULL DEFAULT gen_random_uuid(),
    -- As Clerk writes it: user_2g7np7Hrk0SN6kj5EDMLDaKNL0S.
    clerk_id TEXT NOT NULL,
    -- Backboard's UUID, lower case. It names a deleted assistant where deleted_at is set.
    assistant_id TEXT NOT NULL,
    -- NULL for people who signed up with a phone, a username or a wallet only. Not unique: an address
    -- moves from a deleted user to a new one.
    email TEXT,
    name TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    -- Clerk's data.updated_at of what is stored here. The epoch means that no event has spoken yet, so any
    -- event is newer: the row was made from what the chat backend said.
    clerk_updated_at TIMESTAMPTZ NOT NULL DEFAULT 'epoch',
    last_sign_in_at TIMESTAMPTZ,
    -- Set by user.deleted; email and name are NULL from then on.
    deleted_at TIMESTAMPTZ,
    CONSTRAINT users_pkey PRIMARY KEY (id),
    CONSTRAINT users_clerk_id_key UNIQUE (clerk_id),
    CONSTRAINT users_assistant_id_key UNIQUE (assistant_id),
    CONSTRAINT users_clerk_id_check CHECK (clerk_id ~ '^user_[A-Za-z0-9]{1,64}$'),
    CONSTRAINT users_assistant_id_check CHECK (char_length(assistant_id) BETWEEN 1 AND 64),
    CONSTRAINT users_email_check CHECK (char_length(email) <= 320),
    CONSTRAINT users_name_check CHECK (char_length(name) <= 1000)
);

-- The tombstones: an id in here is never provisioned again, whatever arrives late or is replayed.
CREATE TABLE deleted_users (
    clerk_id TEXT NOT NULL,
    deleted_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT deleted_users_pkey PRIMARY KEY (clerk_id),
    CONSTRAINT deleted_users_clerk_id_check CHECK (clerk_id ~ '^user_[A-Za-z0-9]{1,64}$')
);

-- A row here says: Backboard may hold an assistant of this user that users does not know. It is committed
-- before anything is sent to Backboard, so it survives the rollback of the try, a kill and a lost answer.
-- Empty when all is well.
CREATE TABLE provisioning_attempts (
    clerk_id TEXT NOT NULL,
    -- How often a create may have been sent. Above 1, Backboard is asked by name before anything is created.
    -- squawk-ignore prefer-bigint-over-int
    tries INTEGER NOT NULL DEFAULT 1,
    first_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    last_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    -- Set when the user's row or tombstone stands but a second assistant of that name may exist; NULL while
    -- the user is not provisioned.
    resolved_at TIMESTAMPTZ,
    CONSTRAINT provisioning_attempts_pkey PRIMARY KEY (clerk_id),
    CONSTRAINT provisioning_attempts_clerk_id_check CHECK (clerk_id ~ '^user_[A-Za-z0-9]{1,64}$'),
    CONSTRAINT provisioning_attempts_tries_check CHECK (tries >= 1)
);

-- migrate:down
DROP TABLE provisioning_attempts;
DROP TABLE deleted_users;
DROP TABLE users;
