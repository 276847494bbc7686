"""Replacing an assistant that Backboard has lost: only after a look that is sure, and only once."""

import asyncio
from typing import Any

import psycopg
import pytest

from app.users.replacement import NEIGHBOURS
from tests.support.asgi import Log
from tests.support.factories import Person, event
from tests.support.service import Chat, Service
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import html, status
from tools.sandbox.faults import Fault, drops, garbage

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]


@pytest.fixture
def chat(service: Service) -> Chat:
    return Chat(service.client)


def rows(database: Database, table: str = "users") -> list[dict[str, Any]]:
    return database.execute(f"SELECT * FROM {table} ORDER BY 1".encode()).fetchall()


async def sign_up(chat: Chat, count: int = 1) -> list[Person]:
    people = [Person() for _ in range(count)]
    for person in people:
        await chat.post("/ensure-user", {"clerk_id": person.clerk_id})
    return people


def lose(backboard: Sandbox, *people: Person) -> None:
    """Delete their assistants, as a person at Backboard's dashboard might."""
    for person in people:
        for assistant in backboard.alive(person.assistant_name):
            backboard.delete_assistant(assistant.id)


@pytest.mark.parametrize("others", [0, 1, 7])
async def test_the_next_session_gets_a_new_assistant(
    chat: Chat, database: Database, backboard: Sandbox, log: Log, others: int
) -> None:
    """The row points at it, the log says so, and no doubt is left."""
    await sign_up(chat, others)
    (person,) = await sign_up(chat)
    (lost,) = backboard.alive(person.assistant_name)
    lose(backboard, person)
    log.lines()

    opened = await chat.open(person)

    (assistant,) = backboard.alive(person.assistant_name)
    assert (opened.status_code, opened.json()["assistant_id"]) == (201, assistant.id)
    assert [thread.id for thread in backboard.threads(assistant.id)] == [opened.json()["thread_id"]]
    assert assistant.id in {row["assistant_id"] for row in rows(database)}
    assert rows(database, "provisioning_attempts") == rows(database, "session_attempts") == []
    replaced = next(line for line in log.lines() if line["event"] == "assistant_replaced")
    assert (replaced["clerk_id"], replaced["lost_id"], replaced["assistant_id"]) == (
        person.clerk_id, lost.id, assistant.id
    )  # fmt: skip


async def test_sessions_of_the_lost_assistant_have_no_thread_and_keep_their_messages(
    chat: Chat, backboard: Sandbox
) -> None:
    """They can be read, written to and deleted; the user's other sessions have their threads."""
    (person, other) = await sign_up(chat, 2)
    old, spared = (await chat.open(person, key="a")).json(), (await chat.open(other)).json()
    await chat.say(old, "user", "hello")
    lose(backboard, person)
    new = (await chat.open(person)).json()
    calls = len(backboard.calls())

    seen = (await chat.get(f"/sessions/{old['id']}")).json()
    listed = (await chat.get(f"/users/{person.clerk_id}/sessions")).json()["sessions"]
    again = await chat.open(person, key="a")
    said = await chat.say(old, "assistant", "still here")
    history = (await chat.get(f"/sessions/{old['id']}/messages")).json()["messages"]
    deleted = await chat.delete(f"/sessions/{old['id']}")

    assert (seen["thread_id"], seen["assistant_id"]) == (None, new["assistant_id"])
    assert {one["id"]: one["thread_id"] for one in listed} == {old["id"]: None, new["id"]: new["thread_id"]}
    assert (again.status_code, again.json()["id"], again.json()["thread_id"]) == (201, old["id"], None)
    assert (said.status_code, [one["content"] for one in history]) == (201, ["hello", "still here"])
    assert (await chat.get(f"/sessions/{spared['id']}")).json()["thread_id"] == spared["thread_id"]
    assert (deleted.status_code, len(backboard.calls())) == (204, calls)


async def test_sessions_opened_at_once_share_one_new_assistant(chat: Chat, backboard: Sandbox) -> None:
    (person,) = await sign_up(chat)
    lose(backboard, person)

    answers = await asyncio.gather(*(chat.open(person) for _ in range(5)))

    assert {answer.status_code for answer in answers} == {201}
    assert len(backboard.alive(person.assistant_name)) == 1
    assert len({answer.json()["assistant_id"] for answer in answers}) == 1


async def test_with_the_key_of_another_account_nothing_is_replaced(
    chat: Chat, database: Database, backboard: Sandbox, log: Log
) -> None:
    """Every assistant seems to be lost then, those of the neighbours too: 503, and an error line names the user."""
    people = await sign_up(chat, 2 * NEIGHBOURS + 1)
    before = rows(database)
    lose(backboard, *people)
    log.lines()

    answer = await chat.open(people[0])

    lines = log.lines()
    assert (answer.status_code, backboard.alive(), rows(database)) == (503, [], before)
    assert [(line["event"], line["level"]) for line in lines][:1] == [("assistant_missing", "error")]
    assert lines[-1]["reason"] == "assistant_missing"
    assert rows(database, "provisioning_attempts") == []


FAULTS: dict[str, tuple[str, Fault]] = {
    "the look is a 500": ("get", status(500)),
    "the look is cut off": ("get", drops()),
    "the look is a gateway's 404": ("get", html(404)),
    "the look is unreadable": ("get", garbage()),
    "the lookup is a 500": ("lookup", status(500)),
    "the lookup is no list": ("lookup", garbage(b"{}")),
    "the thread's 404 is a gateway's": ("create_thread", html(404)),
}


@pytest.mark.parametrize(("kind", "fault"), FAULTS.values(), ids=FAULTS)
async def test_a_look_that_is_not_sure_replaces_nothing(
    chat: Chat, database: Database, backboard: Sandbox, kind: str, fault: Fault
) -> None:
    """503; the next session repairs it."""
    (person, _) = await sign_up(chat, 2)
    before = rows(database)
    lose(backboard, person)
    backboard.next(kind, fault)

    first = await chat.open(person)
    untouched = rows(database)
    second = await chat.open(person)

    assert (first.status_code, untouched) == (503, before)
    assert (second.status_code, len(backboard.alive(person.assistant_name))) == (201, 1)


@pytest.mark.parametrize("fault", [status(500, after_commit=True), drops(after_commit=True)], ids=str)
async def test_a_new_assistant_whose_answer_was_lost_is_adopted(
    chat: Chat, database: Database, backboard: Sandbox, fault: Fault
) -> None:
    """By its name; the attempt row waits for reconcile, as after a sign-up."""
    (person,) = await sign_up(chat)
    lose(backboard, person)
    backboard.next_create(fault)

    answers = [(await chat.open(person)).status_code for _ in range(2)]

    assert (answers, len(backboard.alive(person.assistant_name))) == ([503, 201], 1)
    (attempt,) = rows(database, "provisioning_attempts")
    assert (attempt["tries"], attempt["resolved_at"] is None) == (2, False)


async def test_an_assistant_of_the_name_that_another_row_has_is_not_adopted(
    chat: Chat, database: Database, backboard: Sandbox
) -> None:
    """It was renamed by mistake; the oldest that is free is adopted."""
    (person, other) = await sign_up(chat, 2)
    (others,) = backboard.alive(other.assistant_name)
    lose(backboard, person)
    others.name = person.assistant_name
    free = backboard.make_assistant(person.assistant_name)

    opened = await chat.open(person)

    assert opened.json()["assistant_id"] == free.id
    assert {row["clerk_id"]: row["assistant_id"] for row in rows(database)} == {
        person.clerk_id: free.id, other.clerk_id: others.id
    }  # fmt: skip


async def test_a_deleted_user_gets_no_new_assistant(service: Service, chat: Chat, backboard: Sandbox) -> None:
    """`user.deleted` of a user without an assistant is finished, and a session is 410."""
    (person,) = await sign_up(chat)
    lose(backboard, person)

    deleted = await service.deliver(event("user.deleted", {"id": person.clerk_id, "deleted": True}))

    assert deleted.json() == {"outcome": "deleted"}
    assert (await chat.open(person)).status_code == 410
    assert backboard.alive() == []


async def test_a_lost_assistant_is_replaced_where_a_lost_try_makes_the_session_look_for_threads(
    chat: Chat, database: Database, backboard: Sandbox
) -> None:
    """The listing of threads is the first to notice."""
    (person,) = await sign_up(chat)
    backboard.next("create_thread", status(500))
    await chat.open(person)
    lose(backboard, person)

    assert (await chat.open(person)).status_code == 201
    assert len(rows(database, "session_attempts")) == 1


async def test_an_assistant_that_the_look_finds_is_not_replaced(
    chat: Chat, database: Database, backboard: Sandbox
) -> None:
    """One call has said that it is missing, and another finds it: 503, and no attempt is left open."""
    (person, _) = await sign_up(chat, 2)
    before = rows(database)
    backboard.next("create_thread", status(404, "Assistant not found"))

    answers = [(await chat.open(person)).status_code for _ in range(2)]

    assert (answers, rows(database), len(backboard.alive())) == ([503, 201], before, 2)
    assert rows(database, "provisioning_attempts") == []
