"""`python -m app erase CLERK_ID`: everything of one user is deleted here and at Backboard, and the counts prove it."""

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from app.application import create_app
from tests.support import commands
from tests.support.factories import Person, event
from tests.support.service import Chat, Service, in_process, settings_of
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import status
from tools.sandbox.faults import Fault, behaves
from tools.sandbox.http import json_response

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]

TABLES = (
    *("messages", "sessions", "preferences", "deleted_threads", "session_attempts", "users"),
    *("deliveries", "actions"),
)


@pytest.fixture
async def service(variables: dict[str, str]) -> AsyncIterator[Service]:
    async with in_process(create_app(settings_of(variables))) as service:
        yield service


async def converse(service: Service, backboard: Sandbox, person: Person) -> None:
    """Two sessions with messages, one with an unfinished deletion, one with an unknown outcome, and preferences."""
    chat = Chat(service.client)
    sessions = [(await chat.open(person)).json() for _ in range(3)]
    backboard.remember(sessions[0]["assistant_id"], "Canary likes trains", "Canary lives in Lisbon")
    for session in sessions[:2]:
        await chat.say(session, "user", "hello")
    await chat.put(f"/users/{person.clerk_id}/preferences", {"a": "hello"})
    backboard.next("delete_thread", status(500))
    await chat.delete(f"/sessions/{sessions[2]['id']}")
    backboard.next("create_thread", status(500, after_commit=True))
    await chat.open(person)


def record(database: Database, *people: Person) -> None:
    """A delivery of each, and something that an operator did to them."""
    for person in people:
        database.execute(
            "INSERT INTO deliveries (svix_id, clerk_id, first_at, last_at, tries, status, duration_ms, request_id)"
            " VALUES (%(id)s, %(id)s, now(), now(), 1, 200, 1, 'x')",
            {"id": person.clerk_id},
        )
        database.execute(
            "INSERT INTO actions (who, action, clerk_id, result) VALUES ('x', 'sync', %s, 'x')", [person.clerk_id]
        )


def erase(variables: dict[str, str], *words: str) -> tuple[int, str, str]:
    return commands.run("erase", *words, checkout=commands.ROOT, **variables)


def counts(database: Database) -> dict[str, int]:
    return {
        table: len(database.execute(f"SELECT 1 FROM {table}".encode()).fetchall())  # A table of the list above.
        for table in TABLES
    }


@pytest.mark.parametrize("deleted", [True, False], ids=["deleted at Clerk", "still there"])
async def test_nothing_of_the_user_is_left(
    service: Service,
    variables: dict[str, str],
    database: Database,
    backboard: Sandbox,
    deleted: bool,  # noqa: FBT001
) -> None:
    """Except the tombstone, so that no event brings the user back; another user keeps everything."""
    person, other = Person(), Person()
    await converse(service, backboard, person)
    await converse(service, backboard, other)
    record(database, person, other)
    own, others = (backboard.alive(one.assistant_name)[0].id for one in (person, other))
    if deleted:
        await service.deliver(event("user.deleted", {"id": person.clerk_id, "deleted": True}))

    code, stdout, stderr = erase(variables, person.clerk_id, "--yes")

    assert (code, stderr) == (0, ""), stdout
    after = {line.split()[-1] for line in stdout.splitlines()[-12:-1]}
    assert (after, stdout.splitlines()[-2].split()) == ({"0"}, ["memories", "0" if deleted else "2", "0"]), stdout
    assert (backboard.memories(own), len(backboard.memories(others))) == ([], 2)
    assert counts(database) == {
        "messages": 2, "sessions": 2, "preferences": 1, "deleted_threads": 1, "session_attempts": 1, "users": 1,
        "deliveries": 1, "actions": 2,
    }  # fmt: skip
    acted = database.execute(b"SELECT clerk_id FROM actions ORDER BY id").fetchall()
    assert [row["clerk_id"] for row in acted] == [None, other.clerk_id]
    assert {made.name for made in backboard.alive()} == {other.assistant_name}
    assert [row["clerk_id"] for row in database.execute("SELECT * FROM deleted_users")] == [person.clerk_id]
    assert (await service.ensure(person)).status_code == 410


async def test_it_shows_the_counts_and_asks(service: Service, variables: dict[str, str], database: Database) -> None:
    """Unless the id is typed, nothing is changed."""
    person = Person()
    await Chat(service.client).open(person)

    code, stdout, _ = erase(variables, person.clerk_id)

    assert (code, "sessions" in stdout) == (1, True)
    assert counts(database)["sessions"] == 1
    assert (await service.ensure(person)).status_code == 200


async def test_an_unfinished_erasure_is_finished_by_the_next_run(
    service: Service, variables: dict[str, str], database: Database, backboard: Sandbox
) -> None:
    """Exit 1 while Backboard does not delete."""
    person = Person()
    await converse(service, backboard, person)
    backboard.next("delete", status(500))

    first = erase(variables, person.clerk_id, "--yes")
    second = erase(variables, person.clerk_id, "--yes")

    assert (first[0], second[0]) == (1, 0)
    assert (set(counts(database).values()), backboard.alive()) == ({0}, [])


@pytest.mark.parametrize("kind", ["list_memories", "delete_memories"])
async def test_memories_that_cannot_be_counted_or_deleted_are_no_success(
    service: Service, variables: dict[str, str], backboard: Sandbox, kind: str
) -> None:
    """The assistant stays as long as something is remembered under it, since only through it can that be reached."""
    person = Person()
    await converse(service, backboard, person)
    (assistant,) = backboard.alive()
    backboard.next(kind, status(500))

    first = erase(variables, person.clerk_id, "--yes")
    remembered = backboard.memories(assistant.id)
    second = erase(variables, person.clerk_id, "--yes")

    assert (first[0], len(remembered), second[0]) == (1, 2, 0)
    assert (backboard.memories(assistant.id), backboard.alive()) == ([], [])


async def test_memories_that_outlive_their_assistant_are_left(
    service: Service, variables: dict[str, str], backboard: Sandbox
) -> None:
    """The proof asks for them once more, although the assistant is gone."""
    person = Person()
    await converse(service, backboard, person)
    backboard.next("list_memories", behaves(), Fault("kept", alter=lambda _: json_response(200, {"total_count": 2})))

    code, stdout, _ = erase(variables, person.clerk_id, "--yes")

    assert (code, stdout.splitlines()[-2].split()) == (1, ["memories", "2", "2"])
    assert stdout.splitlines()[-1] == "Something is left."


async def test_an_assistant_that_was_renamed_is_deleted_too(
    service: Service, variables: dict[str, str], database: Database, backboard: Sandbox
) -> None:
    """The row has its id; the name was changed in Backboard's dashboard before the user was deleted."""
    person = Person()
    await Chat(service.client).open(person)
    backboard.made()[0].name = "another name"
    backboard.next("delete", status(500))
    await service.deliver(event("user.deleted", {"id": person.clerk_id, "deleted": True}))

    assert erase(variables, person.clerk_id, "--yes")[0] == 0
    assert (set(counts(database).values()), backboard.alive()) == ({0}, [])


async def test_a_mistyped_id_writes_no_tombstone(variables: dict[str, str], database: Database) -> None:
    """An id without data is a success, and anything but an id is wrong usage."""
    unknown = erase(variables, Person().clerk_id, "--yes")
    wrong = erase(variables, "user_a b", "--yes")

    assert (unknown[0], wrong[0]) == (0, 2)
    assert database.execute("SELECT * FROM deleted_users").fetchall() == []
