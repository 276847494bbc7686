-- migrate:up
-- What happened: the deliveries of Clerk's events, how many requests had which outcome, which processes run, and what
-- operators have done. The service writes into these tables behind its answers; nothing depends on a row in them, and
-- the code that runs without them goes on.
SET LOCAL lock_timeout = '3s';
SET LOCAL statement_timeout = '300s';

-- One row for each verified delivery, however often Clerk's sender tries it, and one for each ensure-user that made a
-- user or failed. Never a body, an e-mail or a name. Deleted after OPS_RETENTION_DAYS.
CREATE TABLE deliveries (
    -- Svix's message id; of an ensure-user, ensure_ and an id that is drawn for it.
    svix_id TEXT NOT NULL,
    -- Clerk's type of the event, or ensure_user; NULL where the body was no usable event.
    type TEXT,
    clerk_id TEXT,
    first_at TIMESTAMPTZ NOT NULL,
    last_at TIMESTAMPTZ NOT NULL,
    tries BIGINT NOT NULL,
    -- This and what follows on it is that of the last try, or of the one that succeeded.
    status BIGINT NOT NULL,
    -- NULL where it failed.
    outcome TEXT,
    reason TEXT,
    assistant_id TEXT,
    -- Which of the signing secrets has matched, from 0; NULL for an ensure-user.
    secret BIGINT,
    duration_ms DOUBLE PRECISION NOT NULL,
    backboard_ms DOUBLE PRECISION,
    db_ms DOUBLE PRECISION,
    request_id TEXT NOT NULL,
    -- When a later try succeeded, or what it was about was done in another way; NULL for what never failed.
    resolved_at TIMESTAMPTZ,
    CONSTRAINT deliveries_pkey PRIMARY KEY (svix_id),
    CONSTRAINT deliveries_clerk_id_check CHECK (clerk_id ~ '^user_[A-Za-z0-9]{1,64}$'),
    CONSTRAINT deliveries_tries_check CHECK (tries >= 1)
);

CREATE INDEX deliveries_clerk_id_last_at_idx ON deliveries (clerk_id, last_at DESC);
CREATE INDEX deliveries_last_at_svix_id_idx ON deliveries (last_at DESC, svix_id DESC);
CREATE INDEX deliveries_type_last_at_idx ON deliveries (type, last_at DESC);
CREATE INDEX deliveries_reason_last_at_idx ON deliveries (reason, last_at DESC) WHERE reason IS NOT NULL;
CREATE INDEX deliveries_failing_idx ON deliveries (last_at DESC) WHERE status >= 500 AND resolved_at IS NULL;
CREATE INDEX deliveries_unusable_idx ON deliveries (last_at DESC) WHERE status = 422;
CREATE INDEX deliveries_request_id_idx ON deliveries (request_id);

-- Every request of every process, in slots of five minutes. The slot of 1970 holds the totals of all time, which are
-- never deleted, so that a counter in /metrics never goes back; the others are deleted after 90 days.
CREATE TABLE outcome_counts (
    slot TIMESTAMPTZ NOT NULL,
    event TEXT NOT NULL,
    -- The empty text for none.
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    status BIGINT NOT NULL,
    number BIGINT NOT NULL,
    -- The time that all of them took.
    seconds DOUBLE PRECISION NOT NULL,
    CONSTRAINT outcome_counts_pkey PRIMARY KEY (slot, event, outcome, reason, status)
);

-- One row for each process of the service, refreshed every few seconds; deleted when it was not for a day.
CREATE TABLE processes (
    -- Drawn when the process starts.
    id TEXT NOT NULL,
    -- The dyno or the machine.
    host TEXT NOT NULL,
    -- What the platform calls this deployment; unset where it says nothing.
    release TEXT NOT NULL,
    -- The version of the service.
    version TEXT NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    -- When it last had a verified event; NULL before the first.
    last_event_at TIMESTAMPTZ,
    -- Connections and callers by pool, as in /readyz.
    pools JSONB NOT NULL,
    -- Of the circuit breaker round Backboard: closed, open or probing.
    breaker TEXT NOT NULL,
    -- How many tries and counts never came into these tables.
    lost BIGINT NOT NULL,
    -- When the last of them was lost; NULL while none is.
    lost_at TIMESTAMPTZ,
    -- The number of the last write that was committed, so that none is repeated.
    writes BIGINT NOT NULL,
    CONSTRAINT processes_pkey PRIMARY KEY (id),
    CONSTRAINT processes_breaker_check CHECK (breaker IN ('closed', 'open', 'probing'))
);

-- What operators have done. Deleted after 90 days.
CREATE TABLE actions (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    -- When it began, and when it ended; NULL while it is under way, and of one that its process did not survive.
    at TIMESTAMPTZ NOT NULL DEFAULT now(),
    ended_at TIMESTAMPTZ,
    -- The name that the operator gave.
    who TEXT NOT NULL,
    -- sync, repair or erase.
    action TEXT NOT NULL,
    -- NULL where it was about no user, or the user has been erased since.
    clerk_id TEXT,
    result TEXT NOT NULL,
    CONSTRAINT actions_pkey PRIMARY KEY (id),
    CONSTRAINT actions_who_check CHECK (char_length(who) <= 200),
    CONSTRAINT actions_clerk_id_check CHECK (clerk_id ~ '^user_[A-Za-z0-9]{1,64}$')
);

CREATE INDEX actions_clerk_id_at_idx ON actions (clerk_id, at DESC);

-- Operators search by e-mail. One pass over the users, some 100,000 a second.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX users_lower_email_idx ON users (lower(email));

-- migrate:down
-- squawk-ignore-file require-concurrent-index-deletion
DROP INDEX users_lower_email_idx;
DROP TABLE actions;
DROP TABLE processes;
DROP TABLE outcome_counts;
DROP TABLE deliveries;
