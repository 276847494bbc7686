"""`import`: another program's users and all that they have are here once, with their assistants; newer data stays."""

import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from app.commands.importing.command import Place, import_tables
from app.commands.importing.mapping import Choices, UnclearMapping
from app.commands.importing.models import Summary
from app.commands.importing.run import report
from app.commands.runtime import RefusedExit
from tests.support import commands
from tests.support.factories import Person, user_updated
from tests.support.service import Chat, Service, settings_of
from tools.bench.prisma import People, fill, make_tables
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import status

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]
Run = Callable[..., Awaitable[Summary]]

SCHEMA = "theirs"
MAPS = ("Users.plan=skip", "ChatMessage.tokens=metadata.tokens", "ChatMessage.role.system=skip")


@pytest.fixture
def theirs(database: Database, direct_url: str) -> Iterator[psycopg.Connection[Any]]:  # noqa: ARG001  # Migrates.
    """A connection with a search path to the other program's schema."""
    with psycopg.connect(direct_url, autocommit=True, options=f"-csearch_path={SCHEMA}") as connection:
        yield connection
        connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE".encode())


@pytest.fixture
def run(variables: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Run:
    """The import of the schema; what it prints has nothing personal in it."""

    async def run_it(*maps: str, **options: Any) -> Summary:
        place = Place(variables["DATABASE_URL"], SCHEMA)
        summary = await import_tables(settings_of(variables), place, Choices(maps), **options)
        assert "canary" not in "".join(capsys.readouterr()).lower()
        return summary

    return run_it


def rows(database: Database, table: str) -> list[dict[str, Any]]:
    return database.execute(f"SELECT * FROM {table} ORDER BY 1".encode()).fetchall()


def camel_case(theirs: psycopg.Connection[Any], backboard: Sandbox, users: int) -> People:
    make_tables(theirs, "camel_case", SCHEMA)
    return fill(theirs, backboard, SCHEMA, users, seed=5)


def add_user(theirs: psycopg.Connection[Any], clerk_id: str, assistant_id: str | None, **more: Any) -> None:
    """A user in the tables of camel_case."""
    values = {"id": str(uuid4()), "email": f"canary.{uuid4()}@example.com"} | more
    values |= {"clerkId": clerk_id, "backboardAssistantId": assistant_id}
    columns = ", ".join(f'"{name}"' for name in values)
    marks = ", ".join("%s" for _ in values)
    insert = f'INSERT INTO "User" ({columns}, "updatedAt") VALUES ({marks}, now())'
    theirs.execute(insert.encode(), list(values.values()))


def add_session(theirs: psycopg.Connection[Any], clerk_id: str, **more: Any) -> str:
    values = {"id": str(uuid4()), **more}
    columns = "".join(f', "{name}"' for name in values)
    marks = ", %s" * len(values)
    insert = f'INSERT INTO "Session" ("userId"{columns}) SELECT id{marks} FROM "User" WHERE "clerkId" = %s'
    theirs.execute(insert.encode(), [*values.values(), clerk_id])
    return str(values["id"])


async def test_everything_is_taken_over(
    theirs: psycopg.Connection[Any], run: Run, database: Database, backboard: Sandbox
) -> None:
    """Ids, assistants under our name, sessions with thread, title and status, messages in their order, preferences."""
    people = camel_case(theirs, backboard, 6)

    summary = await run()

    assert (summary.is_complete, summary.users["created"], summary.renamed) == (True, 6, 6)
    there = {row["id"]: row for row in theirs.cursor(row_factory=psycopg.rows.dict_row).execute('SELECT * FROM "User"')}
    here = {str(row["id"]): row for row in rows(database, "users")}
    assert here.keys() == there.keys()
    for user_id, row in here.items():
        assert (row["clerk_id"], row["email"]) == (there[user_id]["clerkId"], there[user_id]["email"])
        assert row["assistant_id"] == people.assistants[row["clerk_id"]]
        assert row["created_at"].replace(tzinfo=None) == there[user_id]["createdAt"]
    named = {one.name.removeprefix("clerk:"): one.id for one in backboard.alive()}
    assert named == people.assistants
    assert len(rows(database, "preferences")) == 2
    sessions = {str(row["id"]): row for row in rows(database, "sessions")}
    assert {row["thread_id"] for row in sessions.values()} == {one.id for one in backboard.threads()}
    assert {row["status"] for row in sessions.values()} == {"active", "completed", "abandoned"}
    assert all((row["ended_at"] is None) == (row["status"] == "active") for row in sessions.values())
    assert {row["title"] for row in sessions.values()} <= {"New Trip", "Lisbon by train", "Zürich, 東京 und zurück"}
    assert {one: row["message_count"] for one, row in sessions.items()} == {
        one: len(said) for one, said in people.sessions.items()
    }
    for session_id, said in people.sessions.items():
        ordered = database.execute("SELECT id FROM messages WHERE session_id = %s ORDER BY position", [session_id])
        assert [str(row["id"]) for row in ordered] == said


async def test_a_second_run_changes_nothing(
    theirs: psycopg.Connection[Any], run: Run, database: Database, backboard: Sandbox
) -> None:
    """Nor at Backboard, which is only asked."""
    camel_case(theirs, backboard, 4)
    await run()
    before = [rows(database, table) for table in ("users", "sessions", "messages", "preferences")]
    backboard.clear()
    calls = len(backboard.calls())

    summary = await run()

    assert (summary.is_complete, summary.users, summary.renamed) == (True, {"exists": 4}, 0)
    assert (summary.sessions.new, summary.messages.new) == (0, 0)
    assert [rows(database, table) for table in ("users", "sessions", "messages", "preferences")] == before
    assert {call.method for call in backboard.calls()[calls:]} == {"GET"}


async def test_our_own_tables_are_not_taken_for_another_programs(variables: dict[str, str], database: Database) -> None:
    """In one schema, Prisma's "User" stands beside our users."""
    with pytest.raises(UnclearMapping, match="there is no table of users"):
        await import_tables(settings_of(variables), Place(variables["DATABASE_URL"], "public"), Choices(()))
    assert rows(database, "users") == []


async def test_a_dry_run_writes_nothing(
    theirs: psycopg.Connection[Any], run: Run, database: Database, backboard: Sandbox
) -> None:
    """It counts what would be done, and shows which column is taken for what."""
    people = camel_case(theirs, backboard, 3)
    lines: list[str] = []

    summary = await run(dry_run=True, echo=lines.append)

    assert (summary.users, summary.is_complete) == ({"created": 3}, True)
    assert summary.messages.here == people.messages
    assert '"User" -> user' in lines
    assert "  backboardAssistantId -> assistant_id" in lines
    assert (rows(database, "users"), rows(database, "provisioning_attempts")) == ([], [])
    assert {call.method for call in backboard.calls()} == {"GET"}


async def test_other_ids_become_the_same_uuids_in_every_run(
    theirs: psycopg.Connection[Any], run: Run, database: Database, backboard: Sandbox
) -> None:
    """Prisma's cuids, in snake case; the name is joined, and a table of preferences is one document."""
    make_tables(theirs, "snake_case", SCHEMA)
    person, assistant = Person(), backboard.make_assistant("helper")
    thread = backboard.make_thread(assistant.id)
    columns = "id, clerk_user_id, assistant_id, first_name, last_name"
    insert = f"INSERT INTO app_users ({columns}) VALUES ('cku', %s, %s, 'Canary', 'B')"
    theirs.execute(insert.encode(), [person.clerk_id, assistant.id])
    theirs.execute(b"INSERT INTO preferences (id, user_id, theme) VALUES ('ckp', 'cku', 'dark')")
    insert = "INSERT INTO conversations (id, user_id, thread_id, updated_at) VALUES ('ckc', 'cku', %s, now())"
    theirs.execute(insert, [thread.id])
    theirs.execute(b"INSERT INTO messages (id, conversation_id, role, content) VALUES ('ckm', 'ckc', 'user', 'hello')")

    first, second = await run(), await run()

    assert (first.is_complete, second.is_complete, second.messages.new) == (True, True, 0)
    ((user,), (session,), (message,)) = (rows(database, table) for table in ("users", "sessions", "messages"))
    assert (user["name"], session["title"], session["user_id"]) == ("Canary B", "New chat", user["id"])
    assert (message["content"], message["session_id"]) == ("hello", session["id"])
    assert rows(database, "preferences")[0]["document"] == {"theme": "dark", "currency": None}
    assert (user["id"], message["id"]) == (uuid5(NAMESPACE_URL, "user/cku"), uuid5(NAMESPACE_URL, "message/ckm"))


async def test_what_is_unclear_is_refused_and_then_decided(
    theirs: psycopg.Connection[Any], run: Run, database: Database, backboard: Sandbox
) -> None:
    """Clerk ids as keys, numbers as ids, an order of its own, another column that goes into the metadata."""
    make_tables(theirs, "clerk_ids", SCHEMA)
    person, assistant = Person(), backboard.make_assistant("helper")
    theirs.execute('INSERT INTO "Users" (id, "assistantId") VALUES (%s, %s)', [person.clerk_id, assistant.id])
    theirs.execute('INSERT INTO "ChatSession" ("userId", "updatedAt") VALUES (%s, now())', [person.clerk_id])
    for sequence, role, tokens in ((2, "ai", 7), (1, "human", None), (0, "system", None)):
        insert = 'INSERT INTO "ChatMessage" ("chatSessionId", sequence, role, text, tokens) VALUES (1, %s, %s, %s, %s)'
        theirs.execute(insert, [sequence, role, f"said {sequence}", tokens])

    with pytest.raises(UnclearMapping) as caught:
        await run()
    assert [line.split(" has no ")[0] for line in str(caught.value).splitlines()] == [
        "Users.plan",
        "ChatMessage.tokens",
    ]
    with pytest.raises(UnclearMapping, match=r"ChatMessage\.role\.system has no meaning here"):
        await run(*MAPS[:2])
    with pytest.raises(UnclearMapping, match=r"Users\.plam=skip: there is no such"):
        await run(*MAPS, "Users.plam=skip")
    assert rows(database, "users") == []
    summary = await run(*MAPS)

    assert summary.is_complete
    assert summary.left_out == {"messages with a role that was skipped": 1}
    said = database.execute(b"SELECT role, content, metadata FROM messages ORDER BY position").fetchall()
    assert [(row["role"], row["content"], row["metadata"]) for row in said] == [
        ("user", "said 1", None), ("assistant", "said 2", {"tokens": 7}),
    ]  # fmt: skip


async def test_what_became_of_each_user_is_told_apart(
    theirs: psycopg.Connection[Any], run: Run, database: Database, backboard: Sandbox, service: Service
) -> None:
    """None of these gets a row, an assistant of another user, or a new one; and none gets lost without a word."""
    make_tables(theirs, "camel_case", SCHEMA)
    fine, gone, lost, without, odd, other, owner = (Person() for _ in range(7))
    made = [backboard.make_assistant("helper").id for _ in range(5)]
    database.execute("INSERT INTO deleted_users (clerk_id) VALUES (%s)", [gone.clerk_id])
    database.execute("INSERT INTO users (clerk_id, assistant_id) VALUES (%s, %s)", [owner.clerk_id, made[2]])
    await service.ensure(other)
    for person, assistant_id in (
        (fine, made[0]), (gone, made[1]), (lost, str(uuid4())), (without, None), (odd, "asst_1"), (other, made[3]),
    ):  # fmt: skip
        add_user(theirs, person.clerk_id, assistant_id)
    add_user(theirs, "user_a b", made[4])
    add_user(theirs, taken := Person().clerk_id, made[2].upper())
    creates = len(backboard.calls(kind="create"))

    predicted = await run(dry_run=True)
    summary = await run()

    assert predicted.users == summary.users
    assert summary.named == {
        "deleted": [gone.clerk_id], "missing": [lost.clerk_id], "other": [other.clerk_id], "clerk_id": ["user_a b"],
        "assistant": [*summary.named["assistant"]], "taken": [taken],
    }  # fmt: skip
    assert set(summary.named["assistant"]) == {without.clerk_id, odd.clerk_id}
    assert (summary.users["created"], summary.is_complete) == (1, False)
    assert {row["clerk_id"] for row in rows(database, "users")} == {fine.clerk_id, other.clerk_id, owner.clerk_id}
    assert len(backboard.calls(kind="create")) == creates
    assert backboard.alive(gone.assistant_name) == []


async def test_two_users_there_with_one_assistant_get_it_neither(
    theirs: psycopg.Connection[Any], run: Run, backboard: Sandbox
) -> None:
    """A unique index may be missing there, or the ids may differ in their case."""
    make_tables(theirs, "camel_case", SCHEMA)
    shared = backboard.make_assistant("helper").id
    for assistant_id in (shared, shared.upper(), backboard.make_assistant("helper").id):
        add_user(theirs, Person().clerk_id, assistant_id)

    summary = await run()

    assert summary.users == {"shared": 2, "created": 1}


async def test_missing_assistants_are_made_only_when_the_operator_says_so(
    theirs: psycopg.Connection[Any], run: Run, database: Database, backboard: Sandbox
) -> None:
    """By the path of a sign-up; the next run finds the users."""
    make_tables(theirs, "camel_case", SCHEMA)
    lost, without = Person(), Person()
    add_user(theirs, lost.clerk_id, str(uuid4()))
    add_user(theirs, without.clerk_id, None, preferences=json.dumps({"a": 1}))
    add_session(theirs, without.clerk_id)

    first, second = await run(create_missing=True), await run(create_missing=True)

    assert (first.users, second.users) == ({"created": 2}, {"exists": 2})
    assert (first.is_complete, second.is_complete) == (True, True)
    assert {one.name for one in backboard.alive()} == {lost.assistant_name, without.assistant_name}
    assert (len(backboard.alive()), len(rows(database, "sessions"))) == (2, 1)
    assert rows(database, "preferences")[0]["document"] == {"a": 1}


async def test_a_key_of_another_account_is_refused(
    theirs: psycopg.Connection[Any], run: Run, database: Database, backboard: Sandbox
) -> None:
    """Otherwise --create-missing would give every user another assistant."""
    make_tables(theirs, "camel_case", SCHEMA)
    for _ in range(3):
        add_user(theirs, Person().clerk_id, str(uuid4()))

    with pytest.raises(RefusedExit, match="another account"):
        await run(create_missing=True)
    assert (rows(database, "users"), backboard.alive()) == ([], [])


async def test_what_is_here_and_newer_stays(
    theirs: psycopg.Connection[Any], run: Run, database: Database, backboard: Sandbox, service: Service
) -> None:
    """Clerk's profile, a session that was used here, its messages; what is newer there comes over."""
    make_tables(theirs, "camel_case", SCHEMA)
    person, assistant = Person(), backboard.make_assistant("helper")
    add_user(theirs, person.clerk_id, assistant.id, name="old", preferences=json.dumps({"a": 1}))
    times = {"createdAt": "2026-01-01", "lastActiveAt": "2026-01-02"}
    used, changed = (add_session(theirs, person.clerk_id, title="there", **times) for _ in range(2))
    await run()
    await service.deliver(user_updated(person, username="canary new", first_name=None, last_name=None))
    database.execute(b"UPDATE preferences SET document = '{\"b\": 2}'")
    chat = Chat(service.client)
    await chat.say({"id": used}, "user", "hello")
    await chat.patch(f"/sessions/{used}", {"title": "here"})
    theirs.execute(b"UPDATE \"Session\" SET title = 'later', \"lastActiveAt\" = '2026-02-01'")

    summary = await run()

    assert summary.is_complete
    assert (await service.ensure(person)).json()["assistant_id"] == assistant.id
    assert rows(database, "users")[0]["name"] == "canary new"
    assert (await chat.get(f"/sessions/{used}")).json()["message_count"] == 1
    assert rows(database, "preferences")[0]["document"] == {"b": 2}
    assert {str(row["id"]): row["title"] for row in rows(database, "sessions")} == {used: "here", changed: "later"}


async def test_a_user_who_was_here_first_gets_only_what_is_missing(
    theirs: psycopg.Connection[Any], run: Run, database: Database, backboard: Sandbox
) -> None:
    """What an event of Clerk's has said stays; before the first one, gaps are filled. The earlier sign-up holds."""
    make_tables(theirs, "camel_case", SCHEMA)
    spoken, silent = Person(), Person()
    for person, version in ((spoken, "2026-01-01"), (silent, "epoch")):
        assistant = backboard.make_assistant(person.assistant_name)
        add_user(theirs, person.clerk_id, assistant.id, name="canary old", createdAt="2025-05-05", email=person.email)
        insert = "INSERT INTO users (clerk_id, assistant_id, name, clerk_updated_at) VALUES (%s, %s, 'canary new', %s)"
        database.execute(insert, [person.clerk_id, assistant.id, version])

    summary = await run()

    assert (summary.users, summary.renamed) == ({"updated": 2}, 0)
    here = {row["clerk_id"]: row for row in rows(database, "users")}
    assert {row["name"] for row in here.values()} == {"canary new"}
    assert (here[spoken.clerk_id]["email"], here[silent.clerk_id]["email"]) == (None, silent.email)
    assert {row["created_at"].year for row in here.values()} == {2025}


async def test_messages_that_came_since_are_added_behind(
    theirs: psycopg.Connection[Any], run: Run, database: Database, backboard: Sandbox
) -> None:
    """An import before the cut-over, and one after it; also where the sequence of the positions lags."""
    make_tables(theirs, "camel_case", SCHEMA)
    person, assistant = Person(), backboard.make_assistant("helper")
    add_user(theirs, person.clerk_id, assistant.id)
    session = add_session(theirs, person.clerk_id)
    insert = 'INSERT INTO "Message" (id, "sessionId", role, content, "createdAt") VALUES (%s, %s, \'USER\', %s, %s)'
    set_sequence = "SELECT setval(pg_get_serial_sequence('messages', 'position'), %s)"
    database.execute(set_sequence, [1_000_000])
    for days in ((1,), (2, 4, 3)):
        for day in days:
            theirs.execute(insert, [str(uuid4()), session, f"day {day}", f"2026-01-0{day}"])
        await run()
        database.execute(set_sequence, [10])
    database.execute(set_sequence, [2_000_000])

    said = database.execute(b"SELECT content FROM messages ORDER BY position").fetchall()
    assert [row["content"] for row in said] == ["day 1", "day 2", "day 3", "day 4"]
    assert rows(database, "sessions")[0]["message_count"] == 4


async def test_a_run_that_ended_before_the_assistant_was_renamed_is_gone_on_with(
    theirs: psycopg.Connection[Any], run: Run, backboard: Sandbox
) -> None:
    """The row stands meanwhile, so an event of the user makes no second assistant."""
    make_tables(theirs, "camel_case", SCHEMA)
    person, assistant = Person(), backboard.make_assistant("helper")
    add_user(theirs, person.clerk_id, assistant.id)
    backboard.always("update", status(400))

    first = await run()
    names = [one.name for one in backboard.alive()]
    backboard.clear()
    second = await run()

    assert (first.named, names) == ({"failed": [person.clerk_id]}, ["helper"])
    assert (second.is_complete, second.renamed) == (True, 1)
    assert [one.name for one in backboard.alive()] == [person.assistant_name]


async def test_what_does_not_fit_is_left_out_and_counted(
    theirs: psycopg.Connection[Any], run: Run, database: Database, backboard: Sandbox
) -> None:
    """Documents that are no object or too large, threads that are none or another session's; the rest comes over."""
    make_tables(theirs, "camel_case", SCHEMA)
    person, assistant = Person(), backboard.make_assistant("helper")
    thread = backboard.make_thread(assistant.id).id
    add_user(theirs, person.clerk_id, assistant.id, preferences="[1]")
    add_session(theirs, person.clerk_id, backboardThreadId="thread_1", createdAt="2026-01-01")
    first = add_session(theirs, person.clerk_id, backboardThreadId=thread, createdAt="2026-01-02")
    add_session(theirs, person.clerk_id, backboardThreadId=thread, createdAt="2026-01-03")
    insert = "INSERT INTO \"Message\" (id, \"sessionId\", role, content, metadata) VALUES (%s, %s, 'USER', 'hello', %s)"
    for metadata in ('"text"', json.dumps({"a": "x" * 20000}), "null", '{"a": 1}'):
        theirs.execute(insert, [str(uuid4()), first, metadata])

    summary = await run()

    assert summary.is_complete
    assert summary.left_out == {
        "preferences that are no object or too large": 1, "threads with an id that is no UUID": 1,
        "threads that an earlier session has as well": 1, "metadata that is no object or too large": 2,
    }  # fmt: skip
    assert sorted(row["thread_id"] or "" for row in rows(database, "sessions")) == ["", "", thread]
    assert sum(row["metadata"] is not None for row in rows(database, "messages")) == 1


async def test_the_tables_may_be_in_another_database(
    theirs: psycopg.Connection[Any], variables: dict[str, str], direct_url: str, backboard: Sandbox
) -> None:
    """By --source-url as Prisma writes it, with its schema."""
    camel_case(theirs, backboard, 2)
    url = f"{direct_url}{'&' if '?' in direct_url else '?'}schema={SCHEMA}&connection_limit=5"

    words = ("import", "--from", "prisma", "--source-url", url)
    code, stdout, stderr = commands.run(*words, checkout=commands.ROOT, **variables)

    assert (code, "2 users there" in stdout, "2 of 2 users" in stderr) == (0, True, True), stdout + stderr


async def test_a_file_names_users_and_assistants(
    variables: dict[str, str], database: Database, backboard: Sandbox, tmp_path: Any
) -> None:
    """A bad line is wrong usage, and then nothing is written; exit 1 where a user is left."""
    person, assistant = Person(), backboard.make_assistant("helper")
    file = tmp_path / "users.csv"
    file.write_text(f"clerk_id,assistant_id\n{person.clerk_id},{assistant.id}\nuser_b,asst_1\n")
    bad = commands.run("import", "--from", "csv", str(file), checkout=commands.ROOT, **variables)
    assert (bad[0], "line 3" in bad[2], rows(database, "users")) == (2, True, [])
    file.write_text(f"clerk_id,assistant_id\n{person.clerk_id},{assistant.id}\nuser_b,{uuid4()}\n")

    code, stdout, _ = commands.run("import", "--from", "csv", str(file), checkout=commands.ROOT, **variables)

    assert (code, "missing: user_b" in stdout) == (1, True)
    assert [row["assistant_id"] for row in rows(database, "users")] == [assistant.id]
    assert backboard.alive()[0].name == person.assistant_name


@pytest.fixture
def reader(theirs: psycopg.Connection[Any], direct_url: str) -> Iterator[str]:
    """The address of a role that may read the tables of camel_case, unless a test takes the right away."""
    make_tables(theirs, "camel_case", SCHEMA)
    theirs.execute(f"CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA {SCHEMA} TO reader".encode())
    theirs.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO reader".encode())
    yield make_conninfo(direct_url, user="reader")
    theirs.execute(b"DROP OWNED BY reader; DROP ROLE reader")


@pytest.mark.parametrize(
    ("change", "maps", "line"),
    [
        ('REVOKE SELECT ON "Message" FROM reader', "Message", "Message may not be read by this role"),
        (
            ('REVOKE SELECT ON "User" FROM reader; GRANT SELECT (id, "clerkId", "backboardAssistantId") ON "User"'
            " TO reader"),
            "User.email User.name User.preferences User.createdAt",
            r"User\.email may not be read by this role: GRANT SELECT, or --map User\.email=skip",
        ),
        (f"REVOKE USAGE ON SCHEMA {SCHEMA} FROM reader", "", "User may not be read by this role"),
        ('ALTER TABLE "Session" ENABLE ROW LEVEL SECURITY', "", "Session may hide rows from this role"),
        (
            'ALTER TABLE "User" ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON "User" USING (true)',
            "", "User may hide rows from this role",
        ),
        (
            ('ALTER TABLE "Session" ENABLE ROW LEVEL SECURITY; ALTER TABLE "Session" RENAME TO hidden;'
            ' CREATE VIEW "Session" WITH (security_invoker) AS SELECT * FROM hidden;'
            ' GRANT SELECT ON "Session" TO reader'),
            "", "Session may hide rows from this role",
        ),
    ],
    ids=["a table", "columns", "the schema", "no policy", "a policy", "under a view"],
)  # fmt: skip
async def test_what_the_role_may_not_read_is_named(
    theirs: psycopg.Connection[Any], variables: dict[str, str], reader: str, change: str, maps: str, line: str
) -> None:
    """It would stay behind without a word; a table or a column may be left out by --map."""
    theirs.execute(change.encode())
    settings, place = settings_of(variables), Place(reader, SCHEMA)

    with pytest.raises(UnclearMapping, match=line):
        await import_tables(settings, place, Choices(()), dry_run=True)
    if maps:
        choices = Choices(tuple(f"{one}=skip" for one in maps.split()))
        assert (await import_tables(settings, place, choices, dry_run=True)).is_complete


@pytest.mark.parametrize("table", ["User", "Preferences"])
async def test_a_column_may_have_any_name(
    theirs: psycopg.Connection[Any], run: Run, database: Database, backboard: Sandbox, table: str
) -> None:
    """Also that of an alias in our statements."""
    make_tables(theirs, "camel_case", SCHEMA)
    theirs.execute(b'ALTER TABLE "User" DROP COLUMN preferences')
    theirs.execute(b'CREATE TABLE "Preferences" ("userId" TEXT, theme TEXT)')
    theirs.execute(f'ALTER TABLE "{table}" ADD COLUMN t TEXT'.encode())
    add_user(theirs, Person().clerk_id, backboard.make_assistant("helper").id)
    theirs.execute(b'INSERT INTO "Preferences" ("userId", theme) SELECT id, \'dark\' FROM "User"')

    assert (await run(*["User.t=skip"] * (table == "User"))).is_complete
    assert rows(database, "preferences")[0]["document"]["theme"] == "dark"


def add_messages(theirs: psycopg.Connection[Any], session: str, *roles: str) -> list[str]:
    insert = 'INSERT INTO "Message" (id, "sessionId", role, content) VALUES (%s, %s, %s, \'hello\')'
    keys = [str(uuid4()) for _ in roles]
    for key, role in zip(keys, roles, strict=True):
        theirs.execute(insert, [key, session, role])
    return keys


async def test_a_value_that_comes_during_the_run_is_named(
    theirs: psycopg.Connection[Any], run: Run, database: Database, backboard: Sandbox
) -> None:
    """A usual word has its meaning; another is left, with its messages, and decided at the next run."""
    make_tables(theirs, "camel_case", SCHEMA)
    for table, column in (("Message", "role"), ("Session", "status")):
        theirs.execute(f'ALTER TABLE "{table}" ALTER "{column}" DROP DEFAULT, ALTER "{column}" TYPE TEXT'.encode())
    person = Person()
    add_user(theirs, person.clerk_id, backboard.make_assistant("helper").id)
    said: list[str] = []

    def come(line: str) -> None:
        """While the counts are shown, after the values were mapped."""
        if line.endswith(" rows of user"):
            session, odd = (add_session(theirs, person.clerk_id, status=one) for one in ("ACTIVE", "frozen"))
            said.extend([odd, *add_messages(theirs, session, "USER", "TOOL", "AI"), *add_messages(theirs, odd, "USER")])

    summary = await run(echo=come)

    assert {words.partition(", which")[0]: keys for words, keys in summary.not_here.items()} == {
        "sessions with the status 'frozen'": [said[0]], "messages with the role 'TOOL'": [said[2]],
    }  # fmt: skip
    assert "--map Message.role.TOOL=" in "".join(summary.not_here)
    assert (summary.is_complete, summary.left_out) == (False, {"messages of sessions that were not taken over": 1})
    assert {row["role"] for row in rows(database, "messages")} == {"user", "assistant"}
    assert (await run("Message.role.TOOL=skip", "Session.status.frozen=skip")).is_complete


async def test_a_message_without_a_session_is_left_out_in_a_dry_run_as_well(
    theirs: psycopg.Connection[Any], run: Run, backboard: Sandbox
) -> None:
    make_tables(theirs, "camel_case", SCHEMA)
    theirs.execute(b'ALTER TABLE "Message" DROP CONSTRAINT "Message_sessionId_fkey"')
    person = Person()
    add_user(theirs, person.clerk_id, backboard.make_assistant("helper").id)
    add_messages(theirs, add_session(theirs, person.clerk_id), "USER")
    add_messages(theirs, "gone", "USER", "ASSISTANT")

    for summary in (await run(dry_run=True), await run()):
        assert summary.left_out == {"messages of a session that does not exist": 2}
        assert (summary.messages.there, summary.messages.here, summary.is_complete) == (3, 1, True)


async def test_a_session_with_an_id_that_another_user_has_here_is_named(
    theirs: psycopg.Connection[Any], run: Run, database: Database, backboard: Sandbox, capsys: Any
) -> None:
    make_tables(theirs, "camel_case", SCHEMA)
    person, other = Person(), Person()
    add_user(theirs, person.clerk_id, backboard.make_assistant("helper").id)
    mine, taken = (add_session(theirs, person.clerk_id) for _ in range(2))
    add_messages(theirs, taken, "USER")
    insert = "INSERT INTO users (clerk_id, assistant_id) VALUES (%s, %s) RETURNING id"
    owner = database.execute(insert, [other.clerk_id, backboard.make_assistant("helper").id]).fetchall()[0]["id"]
    database.execute("INSERT INTO sessions (id, user_id) VALUES (%s, %s)", [taken, owner])

    summary = await run()

    words = "sessions with an id that another user's session has here"
    assert (summary.not_here, summary.is_complete) == ({words: [taken]}, False)
    assert summary.left_out == {"messages of sessions that were not taken over": 1}
    assert (summary.sessions.here, {str(row["id"]) for row in rows(database, "sessions")}) == (1, {mine, taken})
    report(summary, print, dry_run=False)
    printed = capsys.readouterr().out
    assert f"not here: 1 {words}" in printed
    assert f"{words}: {taken}" in printed
