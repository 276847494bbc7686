"""The files of the migrations, and the schema that they produce."""

import hashlib
import re
from typing import Any

import psycopg
import pytest

from app.postgres import migration_files
from app.postgres.functions import read_functions
from app.postgres.triggers import read_triggers
from tests.support.databases import temporary_database

FILES = {path.name: path.read_text() for path in sorted(migration_files.FOLDER.iterdir())}
every_migration = pytest.mark.parametrize("name", FILES)

Database = psycopg.Connection[dict[str, Any]]

# A released migration has run on other people's databases and will not run there again, so its file never changes;
# another migration corrects what is wrong with it. A new migration adds its line here. A line may be changed or
# removed only before the release that brings its file.
HASHES = {
    "0001_create_users.sql": "416d3067445c365448ff74b7217e14e87ba5b4917ba6e4b6a43540401bc689b3",
    "0002_create_sessions_and_messages.sql": "fac187b94aed5d81bc8c2bb541546c8474447d9d5ec5a0d5f875aa6592631918",
    "0003_add_chat_memory.sql": "04009fe4c5bcb03ae9a84700eb1cc2b34c4e5af14fa7e2170761be940161cbdc",
    "0004_create_functions.sql": "83bfb0984fb6352c19ffb6c6f30c3177ab7db44f445b6fb8f5d557ac0544f9c0",
    "0005_add_event_times.sql": "813170e71f12e7042580cc41951f6295f8a33ef2652b85a4ef69fda7be0c7576",
    "0006_index_unnormalized_messages.sql": "b8ce8ff01062c2f614f869d031a7d721d15c85ed72f3d5c5afd694c461f95263",
    "0007_drop_unread_indexes.sql": "30eaf7b1065c5c01061dfa985a2e6b6c42e4fd295e4813ea8a3e397cffb98ece",
    "0008_add_message_ids.sql": "0ef241d2d040a39c81a0cdd03fe943b49e48217014dfb116f34b071d23576c40",
    "0009_add_scenarios.sql": "a0ca1405609f86926c1f74f936b6c5b11c423546df3d56197de939317f5952de",
    "0010_create_history.sql": "a8736bca7f90ea64a0fc230496cc1e1afd3729203409df62a351125e66dc9163",
}

# Type, whether NULL is allowed, default.
COLUMNS: dict[str, dict[str, tuple[str, bool, str | None]]] = {
    "users": {
        "id": ("uuid", False, "gen_random_uuid()"),
        "clerk_id": ("text", False, None),
        "assistant_id": ("text", False, None),
        "email": ("text", True, None),
        "name": ("text", True, None),
        "created_at": ("timestamp with time zone", False, "now()"),
        "updated_at": ("timestamp with time zone", False, "now()"),
        "clerk_updated_at": ("timestamp with time zone", False, "'1970-01-01 00:00:00+00'::timestamp with time zone"),
        "last_sign_in_at": ("timestamp with time zone", True, None),
        "deleted_at": ("timestamp with time zone", True, None),
        "clerk_event_at": ("timestamp with time zone", True, None),
        "image_url": ("text", True, None),
    },
    "deleted_users": {
        "clerk_id": ("text", False, None),
        "deleted_at": ("timestamp with time zone", False, "now()"),
    },
    "provisioning_attempts": {
        "clerk_id": ("text", False, None),
        "tries": ("integer", False, "1"),
        "first_at": ("timestamp with time zone", False, "now()"),
        "last_at": ("timestamp with time zone", False, "now()"),
        "resolved_at": ("timestamp with time zone", True, None),
    },
    "sessions": {
        "id": ("uuid", False, "gen_random_uuid()"),
        "title": ("text", False, "'New Trip'::text"),
        "user_id": ("uuid", False, None),
        "thread_id": ("text", True, None),
        "created_at": ("timestamp with time zone", False, "now()"),
        "status": ("text", False, "'active'::text"),
        "ended_at": ("timestamp with time zone", True, None),
        "last_active_at": ("timestamp with time zone", False, "now()"),
        "idempotency_key": ("text", True, None),
        "idempotency_title": ("text", True, None),
        "message_count": ("bigint", True, None),
        "scenario_slug": ("text", True, None),
    },
    "scenarios": {
        "slug": ("text", False, None),
        "name": ("text", False, None),
        "description": ("text", True, None),
        "system_prompt": ("text", True, None),
        "model": ("text", True, None),
        "is_active": ("boolean", False, "true"),
        "created_at": ("timestamp with time zone", False, "now()"),
        "updated_at": ("timestamp with time zone", False, "now()"),
    },
    "messages": {
        "id": ("uuid", False, "gen_random_uuid()"),
        "role": ("text", False, None),
        "content": ("text", False, None),
        "session_id": ("uuid", False, None),
        "created_at": ("timestamp with time zone", False, "now()"),
        "position": ("bigint", False, None),
        "metadata": ("jsonb", True, None),
        "sent_metadata": ("jsonb", True, None),
    },
    "session_attempts": {
        "session_id": ("uuid", False, None),
        "clerk_id": ("text", False, None),
        "noted_at": ("timestamp with time zone", False, "now()"),
    },
    "deleted_threads": {
        "session_id": ("uuid", False, None),
        "user_id": ("uuid", False, None),
        "thread_id": ("text", False, None),
        "deleted_at": ("timestamp with time zone", False, "now()"),
    },
    "preferences": {
        "user_id": ("uuid", False, None),
        "document": ("jsonb", False, None),
        "updated_at": ("timestamp with time zone", False, "now()"),
    },
    "deliveries": {
        "svix_id": ("text", False, None),
        "type": ("text", True, None),
        "clerk_id": ("text", True, None),
        "first_at": ("timestamp with time zone", False, None),
        "last_at": ("timestamp with time zone", False, None),
        "tries": ("bigint", False, None),
        "status": ("bigint", False, None),
        "outcome": ("text", True, None),
        "reason": ("text", True, None),
        "assistant_id": ("text", True, None),
        "secret": ("bigint", True, None),
        "duration_ms": ("double precision", False, None),
        "backboard_ms": ("double precision", True, None),
        "db_ms": ("double precision", True, None),
        "request_id": ("text", False, None),
        "resolved_at": ("timestamp with time zone", True, None),
    },
    "outcome_counts": {
        "slot": ("timestamp with time zone", False, None),
        "event": ("text", False, None),
        "outcome": ("text", False, None),
        "reason": ("text", False, None),
        "status": ("bigint", False, None),
        "number": ("bigint", False, None),
        "seconds": ("double precision", False, None),
    },
    "processes": {
        "id": ("text", False, None),
        "host": ("text", False, None),
        "release": ("text", False, None),
        "version": ("text", False, None),
        "started_at": ("timestamp with time zone", False, None),
        "seen_at": ("timestamp with time zone", False, "now()"),
        "last_event_at": ("timestamp with time zone", True, None),
        "pools": ("jsonb", False, None),
        "breaker": ("text", False, None),
        "lost": ("bigint", False, None),
        "lost_at": ("timestamp with time zone", True, None),
        "writes": ("bigint", False, None),
    },
    "actions": {
        "id": ("bigint", False, None),
        "at": ("timestamp with time zone", False, "now()"),
        "ended_at": ("timestamp with time zone", True, None),
        "who": ("text", False, None),
        "action": ("text", False, None),
        "clerk_id": ("text", True, None),
        "result": ("text", False, None),
    },
}

# Primary, unique and foreign keys by name: what each stands on.
KEYS = {
    "users_pkey": "PRIMARY KEY (id)",
    "users_clerk_id_key": "UNIQUE (clerk_id)",
    "users_assistant_id_key": "UNIQUE (assistant_id)",
    "deleted_users_pkey": "PRIMARY KEY (clerk_id)",
    "provisioning_attempts_pkey": "PRIMARY KEY (clerk_id)",
    "sessions_pkey": "PRIMARY KEY (id)",
    "sessions_user_id_fkey": "FOREIGN KEY (user_id) REFERENCES users(id)",
    "sessions_scenario_slug_fkey": "FOREIGN KEY (scenario_slug) REFERENCES scenarios(slug)",
    "scenarios_pkey": "PRIMARY KEY (slug)",
    "messages_pkey": "PRIMARY KEY (id)",
    "messages_session_id_fkey": "FOREIGN KEY (session_id) REFERENCES sessions(id)",
    "session_attempts_pkey": "PRIMARY KEY (session_id)",
    "deleted_threads_pkey": "PRIMARY KEY (session_id)",
    "deleted_threads_user_id_fkey": "FOREIGN KEY (user_id) REFERENCES users(id)",
    "preferences_pkey": "PRIMARY KEY (user_id)",
    "preferences_user_id_fkey": "FOREIGN KEY (user_id) REFERENCES users(id)",
    "deliveries_pkey": "PRIMARY KEY (svix_id)",
    "outcome_counts_pkey": "PRIMARY KEY (slot, event, outcome, reason, status)",
    "processes_pkey": "PRIMARY KEY (id)",
    "actions_pkey": "PRIMARY KEY (id)",
}


def parts(name: str) -> tuple[str, str]:
    """The up and the down part of a migration, without the markers."""
    outside = "(?: transaction:false)?"
    match = re.fullmatch(rf"-- migrate:up{outside}\n(.+)\n-- migrate:down{outside}\n(.+)", FILES[name], flags=re.DOTALL)
    assert match, f"{name} has no up part followed by a down part"
    return match[1], match[2]


def objects(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    """Everything in the schema public: tables and indexes with their columns, constraints, functions, types.

    Without the members of extensions: pg_trgm belongs to the database, and stays where it was switched on.
    """
    cursor = connection.execute(
        b"""
        SELECT 'column', attrelid::regclass::text, attname::text, format_type(atttypid, atttypmod)
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped
        UNION ALL
        SELECT 'constraint', conrelid::regclass::text, conname::text, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL
        SELECT 'function', proname::text, '', '' FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND oid NOT IN (SELECT objid FROM pg_depend WHERE deptype = 'e')
        UNION ALL
        SELECT 'type', typname::text, '', '' FROM pg_type
        WHERE typnamespace = 'public'::regnamespace AND oid NOT IN (SELECT objid FROM pg_depend WHERE deptype = 'e')
        ORDER BY 1, 2, 3
        """
    )
    return cursor.fetchall()


def is_outside(name: str) -> bool:
    """Whether its statements run outside a transaction."""
    return FILES[name].startswith("-- migrate:up transaction:false\n")


def run(connection: psycopg.Connection, name: str, part: int) -> None:
    """Run the up part or the down part."""
    text = parts(name)[part].encode()
    if is_outside(name):
        for statement in migration_files.split(text):
            connection.execute(statement)
    else:
        with connection.transaction():
            connection.execute(text)


def constraints(database: Database, kinds: str) -> dict[str, str]:
    """The constraints of our tables that are of these kinds of pg_constraint.contype."""
    rows = database.execute(
        "SELECT conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint"
        " WHERE conrelid = ANY(%s::regclass[]) AND contype = ANY(%s)",
        [list(COLUMNS), list(kinds)],
    ).fetchall()
    return {row["conname"]: row["definition"] for row in rows}


def test_migrations_are_numbered_without_a_gap() -> None:
    """NNNN_verb_phrase.sql; the number is the version."""
    assert all(
        re.fullmatch(r"\d{4}_(add|alter|change|create|drop|fill|index|rename)_[a-z0-9_]+\.sql", name) for name in FILES
    )
    assert [name[:4] for name in FILES] == [f"{number:04}" for number in range(1, len(FILES) + 1)]


@every_migration
def test_a_released_migration_is_never_edited(name: str) -> None:
    """Its file has the hash that it was released with."""
    assert hashlib.sha256(FILES[name].encode()).hexdigest() == HASHES.get(name)


def test_a_released_migration_is_never_removed() -> None:
    assert set(HASHES) <= set(FILES)


@every_migration
def test_a_migration_begins_with_its_reason_and_two_timeouts(name: str) -> None:
    """So that it fails before it blocks a running service."""
    limits = r"(-- [^\n]+\n)+SET LOCAL lock_timeout = '\d+m?s';\nSET LOCAL statement_timeout = '\d+m?s';\n.+"
    # Outside a transaction SET LOCAL does nothing, and blocks no one.
    outside = r"(-- [^\n]+\n)+[^;]+;\n.*"

    assert re.fullmatch(outside if is_outside(name) else limits, parts(name)[0], flags=re.DOTALL)


def test_a_migration_outside_a_transaction_may_be_repeated() -> None:
    """Each statement does the same a second time, and a new index is alone, since it is looked at."""
    comments, making = r"(?:--[^\n]*\n|\s)*", "CREATE (?:UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS"
    repeatable = re.compile(rf"{comments}(?:{making}|DROP INDEX CONCURRENTLY IF EXISTS|CREATE OR REPLACE FUNCTION) ")
    outside = [one for one in migration_files.read_migrations() if not one.in_transaction]

    assert outside
    for migration in outside:
        up, down = (migration_files.split(part) for part in (migration.up, migration.down))
        assert all(repeatable.match(statement.decode()) for statement in up + down), migration.file
        assert [b"".join(up), b"".join(down)] == [migration.up.rstrip(), migration.down.rstrip()]
        assert len(up) == 1 or not re.search(making, migration.up.decode()), migration.file


@every_migration
def test_a_migration_has_a_statement_in_both_parts(name: str) -> None:
    assert all(re.search(r"^(?!--|SET LOCAL)\S", part, flags=re.MULTILINE) for part in parts(name))


def test_every_trigger_of_the_schema_is_looked_at(database: Database) -> None:
    """With its table, its function and when it fires: `doctor` and /readyz compare them with what stands."""
    made = database.execute(
        b"SELECT tgname, tgrelid::regclass::text AS place, tgfoid::regproc::text AS function, tgtype FROM pg_trigger"
        b" WHERE NOT tgisinternal"
    ).fetchall()

    found = [(one.name, one.table, one.function, one.type) for one in read_triggers().values()]
    assert found
    assert sorted((row["tgname"], row["place"], row["function"], row["tgtype"]) for row in made) == sorted(found)


def test_every_function_of_the_schema_is_looked_at(database: Database) -> None:
    """With its arguments and its body: `doctor` and /readyz compare them with what stands."""
    made = database.execute(
        b"SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        b" AND oid NOT IN (SELECT objid FROM pg_depend WHERE deptype = 'e')"
    ).fetchall()

    assert sorted(row["proname"] for row in made) == sorted(one.partition("(")[0] for one in read_functions())


def test_each_down_part_restores_the_schema_before_its_up_part(database_url: str) -> None:
    """Backwards from the newest; afterwards all go up again."""
    with temporary_database(database_url) as url, psycopg.connect(url, autocommit=True) as connection:
        before = []
        for name in FILES:
            before.append(objects(connection))
            run(connection, name, 0)
        full = objects(connection)

        for name in reversed(FILES):
            run(connection, name, 1)
            assert objects(connection) == before.pop(), f"the down part of {name} leaves something"

        for name in FILES:
            run(connection, name, 0)
        assert objects(connection) == full


@pytest.mark.parametrize("table", COLUMNS)
def test_a_table_has_its_columns(table: str, database: Database) -> None:
    """With the types, NULLs and defaults on which other programs rely."""
    rows = database.execute(
        "SELECT column_name, data_type, is_nullable = 'YES' AS nullable, column_default FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = %s",
        [table],
    ).fetchall()

    found = {row["column_name"]: (row["data_type"], row["nullable"], row["column_default"]) for row in rows}
    assert found == COLUMNS[table]


def test_there_is_no_other_table(database: Database) -> None:
    rows = database.execute(b"SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()

    assert {row["tablename"] for row in rows} == {*COLUMNS, "clerk_backboard_migrations"}


def test_keys_have_the_names_that_the_code_uses(database: Database) -> None:
    """No foreign key cascades: the messages of a user stay when the user is deleted."""
    assert constraints(database, "puf") == KEYS


def test_a_check_is_named_after_its_table_and_column(database: Database) -> None:
    """Table first; the code tells errors apart by the constraint's name."""
    checks = constraints(database, "c")

    assert checks["messages_role_check"] == "CHECK ((role = ANY (ARRAY['user'::text, 'assistant'::text])))"
    names = {f"{table}_{column}_check" for table, columns in COLUMNS.items() for column in columns}
    assert set(checks) <= names


@pytest.mark.parametrize(
    "clerk_id", ["user_", "user_" + "a" * 65, "user_a b", "org_2abc", "user_ä", "user_a\n", "xuser_a"]
)
@pytest.mark.parametrize(
    "table", ["users", "deleted_users", "provisioning_attempts", "session_attempts", "deliveries", "actions"]
)
def test_a_clerk_id_is_checked_by_every_table(table: str, clerk_id: str, database: Database) -> None:
    """1 to 64 letters and digits behind user_, from the first character to the last."""
    more = {
        "users": (", assistant_id", ", 'x'"),
        "session_attempts": (", session_id", ", gen_random_uuid()"),
        "deliveries": (
            ", svix_id, first_at, last_at, tries, status, duration_ms, request_id",
            ", 'msg_1', now(), now(), 1, 200, 1, 'x'",
        ),
        "actions": (", who, action, result", ", 'x', 'sync', 'x'"),
    }
    column, value = more.get(table, ("", ""))

    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        database.execute(f"INSERT INTO {table} (clerk_id{column}) VALUES (%s{value})".encode(), [clerk_id])
    assert caught.value.diag.constraint_name == f"{table}_clerk_id_check"


def test_the_code_from_before_0009_goes_on(database: Database) -> None:
    """During a deploy its functions and statements meet rows of the new code's, and keep what they do not know."""
    database.execute(
        b"WITH scenario AS (INSERT INTO scenarios (slug, name) VALUES ('a', 'A') RETURNING slug), person AS ("
        b" INSERT INTO users (clerk_id, assistant_id, image_url) VALUES ('user_a', 'x', 'https://a') RETURNING id)"
        b" INSERT INTO sessions (user_id, thread_id, status, scenario_slug)"
        b" SELECT id, 'thread', 'archived', slug FROM person, scenario"
    )
    update = b"SELECT name FROM update_users('{user_a}', '{NULL}', '{Ada}', '{2026-01-01}', '{NULL}', '{NULL}')"

    assert database.execute(update).fetchall() == [{"name": "Ada"}]
    assert database.execute(b"SELECT clerk_id, name FROM find_users('{user_a}')").fetchall() == [
        {"clerk_id": "user_a", "name": "Ada"}
    ]
    assert database.execute(b"SELECT status FROM list_sessions('{user_a}', '{NULL}', '{NULL}', '{9}')").fetchall() == [
        {"status": "archived"}
    ]
    database.execute(b"INSERT INTO sessions (user_id, thread_id) SELECT id, 'other' FROM users")
    assert database.execute(b"SELECT image_url FROM users").fetchall() == [{"image_url": "https://a"}]


# What leaves a picture in the row of a deleted user, but for the trigger.
LEAVING: dict[str, list[str]] = {
    "the deletion of the code before 0009": [
        "UPDATE users SET email = NULL, name = NULL, last_sign_in_at = NULL, deleted_at = coalesce(deleted_at, now())"
    ],
    "one by hand": ["UPDATE users SET deleted_at = now()"],
    "a picture that comes after it": [
        "UPDATE users SET deleted_at = now()",
        "UPDATE users SET image_url = 'https://b'",
    ],
    "both at once": ["UPDATE users SET deleted_at = now(), image_url = 'https://b'"],
}


def test_no_row_of_a_deleted_user_keeps_a_picture(database: Database) -> None:
    """Whichever code deletes the user; a live one keeps it."""
    left = {}
    for name, statements in LEAVING.items():
        database.execute(b"INSERT INTO users (clerk_id, assistant_id, image_url) VALUES ('user_a', 'x', 'https://a')")
        database.execute(b"UPDATE users SET updated_at = now()")
        kept = database.execute(b"SELECT image_url FROM users").fetchall()
        for statement in statements:
            database.execute(statement.encode())
        left[name] = (kept + database.execute(b"SELECT image_url FROM users").fetchall(),)
        database.execute(b"DELETE FROM users")

    assert left == dict.fromkeys(LEAVING, ([{"image_url": "https://a"}, {"image_url": None}],))


@pytest.mark.parametrize("slug", ["", "A", "a_b", "-a", "a-", "a--b", "a b", "a\n", "\u00e9", "x" * 65])
def test_a_slug_is_checked_by_its_table(slug: str, database: Database) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        database.execute("INSERT INTO scenarios (slug, name) VALUES (%s, 'x')", [slug])
    assert caught.value.diag.constraint_name == "scenarios_slug_check"


def test_a_user_with_sessions_cannot_be_deleted(database: Database) -> None:
    database.execute(
        b"WITH person AS (INSERT INTO users (clerk_id, assistant_id) VALUES ('user_a', 'x') RETURNING id)"
        b" INSERT INTO sessions (user_id, thread_id) SELECT id, 'thread' FROM person"
    )

    with pytest.raises(psycopg.errors.ForeignKeyViolation) as caught:
        database.execute(b"DELETE FROM users")
    assert caught.value.diag.constraint_name == "sessions_user_id_fkey"
    assert database.execute(b"SELECT title FROM sessions").fetchall() == [{"title": "New Trip"}]
