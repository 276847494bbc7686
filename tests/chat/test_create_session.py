"""One session and one thread for one wish, whatever happens on the way."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.support.factories import Person, event
from tests.support.service import Chat, Service, connected_to
from tools.processes import ServerProcess, responds, wait_until
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import forgets, says, status, twice, without
from tools.sandbox.faults import Fault, drops, empty, held, late

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]


@pytest.fixture
def chat(service: Service) -> Chat:
    return Chat(service.client)


@pytest.fixture
async def person(chat: Chat, backboard: Sandbox) -> Person:  # noqa: ARG001  # The service needs it.
    """Somebody who has an assistant already, and no session."""
    person = Person()
    await chat.post("/ensure-user", {"clerk_id": person.clerk_id})
    return person


def rows(database: Database, table: str = "sessions") -> list[dict[str, Any]]:
    return database.execute(f"SELECT * FROM {table}".encode()).fetchall()


def written(log: Path) -> str:
    return log.read_text()


async def test_the_same_key_is_the_same_session(chat: Chat, person: Person, backboard: Sandbox) -> None:
    """Status and body of the first answer, also after the session was changed; and nobody asks Backboard."""
    first = await chat.open(person, key="a", title="Lisbon")
    await chat.say(first.json(), "user", "hello")
    await chat.patch(f"/sessions/{first.json()['id']}", {"title": "Porto", "status": "completed"})
    calls = len(backboard.calls())

    again = await chat.open(person, key="a", title="Lisbon")

    assert (again.status_code, again.json()) == (first.status_code, first.json()) == (201, first.json())
    assert len(backboard.calls()) == calls


async def test_a_key_belongs_to_one_user_and_one_wish(chat: Chat, person: Person, backboard: Sandbox) -> None:
    """Another user's equal key is another session; another title under it is 422."""
    await chat.open(person, key="a")

    other, changed, same = (
        await chat.open(Person(), key="a"),
        await chat.open(person, key="a", title="Lisbon"),
        await chat.open(person, key="a", title="New Trip"),
    )

    assert (other.status_code, changed.status_code, same.status_code) == (201, 422, 201)
    assert len(backboard.threads()) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "ä"])
async def test_a_key_is_short_and_printable(chat: Chat, person: Person, key: str) -> None:
    """1 to 255 characters of ASCII; anything else is 422."""
    headers = {b"authorization": f"Bearer {chat.token}".encode(), b"idempotency-key": key.encode("latin-1")}

    path = f"/users/{person.clerk_id}/sessions"
    answer = await chat.client.request("POST", path, json={}, headers=list(headers.items()))

    assert answer.status_code == 422


async def test_wishes_that_race_under_one_key_are_one_session(
    chat: Chat, person: Person, database: Database, backboard: Sandbox
) -> None:
    """Whoever comes second finds it under the lock."""
    opened = await asyncio.gather(*(chat.open(person, key="a") for _ in range(4)))

    assert {(answer.status_code, answer.json()["id"]) for answer in opened} == {(201, str(rows(database)[0]["id"]))}
    assert len(backboard.threads()) == len(rows(database)) == 1
    assert rows(database, "session_attempts") == []


async def test_wishes_that_race_without_a_key_are_different_sessions(
    chat: Chat, person: Person, database: Database, backboard: Sandbox
) -> None:
    """Each on a thread of its own, and no doubt is left."""
    opened = await asyncio.gather(*(chat.open(person) for _ in range(4)))

    assert {answer.status_code for answer in opened} == {201}
    assert {row["thread_id"] for row in rows(database)} == {thread.id for thread in backboard.threads()}
    assert (len(rows(database)), rows(database, "session_attempts")) == (4, [])


@pytest.mark.parametrize(
    "fault",
    [status(500, after_commit=True), drops(after_commit=True), empty(), without("thread_id"), says(thread_id="x"),
     says(thread_id=None)],
    ids=str,
)  # fmt: skip
async def test_a_thread_whose_answer_was_lost_is_adopted(
    chat: Chat, person: Person, database: Database, backboard: Sandbox, fault: Fault
) -> None:
    """503 first; then the thread that is there becomes the session's."""
    backboard.next("create_thread", fault)

    lost, found = await chat.open(person, key="a"), await chat.open(person, key="a")

    assert (lost.status_code, lost.json()["title"]) == (503, "Service initialization failed")
    assert 1 <= int(lost.headers["retry-after"]) <= 30
    (thread,) = backboard.threads()
    assert (found.status_code, found.json()["thread_id"]) == (201, thread.id)
    assert len(rows(database)) == 1


@pytest.mark.parametrize("code", [400, 401, 404, 422, 429, 500, 503])
async def test_without_a_thread_there_is_no_session(
    chat: Chat, person: Person, database: Database, backboard: Sandbox, code: int
) -> None:
    """The same classes of outcome as for an assistant, and the same 503."""
    backboard.next("create_thread", status(code))

    answer = await chat.open(person)

    assert (answer.status_code, answer.json()["title"]) == (503, "Service initialization failed")
    assert rows(database) == []


async def test_a_listing_that_fails_is_not_an_empty_one(chat: Chat, person: Person, backboard: Sandbox) -> None:
    """A try after a lost one fails as long as nobody can say what that one left."""
    backboard.next("create_thread", drops(after_commit=True))
    backboard.next("list_threads", status(500))

    tries = [await chat.open(person) for _ in range(3)]

    assert [answer.status_code for answer in tries] == [503, 503, 201]
    assert len(backboard.threads()) == 1


async def test_only_a_thread_that_may_be_ours_is_adopted(chat: Chat, person: Person, backboard: Sandbox) -> None:
    """Not an older one, not one with messages in it, not one that a session has."""
    taken = (await chat.open(person)).json()["thread_id"]
    assistant_id = (await chat.open(person)).json()["assistant_id"]
    backboard.make_thread(assistant_id, created_at=datetime.now(UTC) - timedelta(minutes=10))
    backboard.make_thread(assistant_id, messages=1)
    backboard.next("create_thread", status(500))
    await chat.open(person)
    before = {thread.id for thread in backboard.threads()}

    session = (await chat.open(person)).json()

    assert taken in before
    assert session["thread_id"] not in before


async def test_a_thread_that_is_about_to_be_deleted_is_not_adopted(
    chat: Chat, person: Person, backboard: Sandbox
) -> None:
    """Its deletion is under way, and would take the new session's thread."""
    session = (await chat.open(person)).json()
    backboard.next("delete_thread", status(500))
    backboard.next("create_thread", status(500))
    assert (await chat.delete(f"/sessions/{session['id']}")).status_code == 503
    await chat.open(person)

    opened = (await chat.open(person)).json()

    assert opened["thread_id"] != session["thread_id"]
    assert (await chat.delete(f"/sessions/{session['id']}")).status_code == 204
    assert [thread.id for thread in backboard.threads()] == [opened["thread_id"]]


async def test_the_id_of_another_sessions_thread_is_not_bound(
    chat: Chat, person: Person, database: Database, backboard: Sandbox
) -> None:
    """Two sessions on one thread would answer each other; nothing is bound, nothing deleted."""
    first = (await chat.open(person)).json()
    backboard.next("create_thread", says(thread_id=first["thread_id"]))

    answer, later = await chat.open(person), await chat.open(person)

    assert (answer.status_code, later.status_code) == (503, 201)
    assert len(rows(database)) == len(backboard.threads()) == 2


async def test_a_user_who_is_deleted_while_a_session_is_opened_is_gone(
    chat: Chat, service: Service, person: Person, database: Database, backboard: Sandbox, in_process_log: Path
) -> None:
    """410 as on every other route, and nothing is wrong with Backboard; the thread went with the assistant."""
    gate = threading.Event()
    backboard.next("create_thread", held(gate, after_commit=True))
    opening = asyncio.create_task(chat.open(person))
    await asyncio.to_thread(backboard.wait_for, lambda: len(backboard.threads()) == 1)
    alarms = written(in_process_log).count("backboard_id_twice")

    deletion = await service.deliver(event("user.deleted", {"id": person.clerk_id, "deleted": True}))
    gate.set()
    answer = await opening

    assert (deletion.json(), answer.status_code) == ({"outcome": "deleted"}, 410)
    assert written(in_process_log).count("backboard_id_twice") == alarms
    assert (backboard.threads(), rows(database), rows(database, "session_attempts")) == ([], [], [])


async def test_a_thread_that_comes_late_goes_to_the_next_session(
    chat: Chat, person: Person, database: Database, backboard: Sandbox
) -> None:
    """The listing of the next try misses it, the one after that finds it; in the end no thread is left over."""
    gate = threading.Event()
    backboard.next("create_thread", Fault("late", commit=late(0).commit, gate=gate, wire=late(0).wire))
    await chat.open(person)
    await chat.open(person)
    gate.set()
    await asyncio.to_thread(backboard.wait_for, lambda: len(backboard.threads()) == 2)

    await chat.open(person)

    assert len(rows(database)) == 2
    assert {row["thread_id"] for row in rows(database)} == {thread.id for thread in backboard.threads()}


async def test_a_thread_that_was_made_twice_or_not_at_all_costs_no_session(
    chat: Chat, person: Person, database: Database, backboard: Sandbox
) -> None:
    """What nobody can see from here is answered like any other; deleting such a session works."""
    backboard.next("create_thread", twice(), forgets())

    sessions = [(await chat.open(person)).json() for _ in range(2)]
    deletions = [await chat.delete(f"/sessions/{session['id']}") for session in sessions]

    assert [answer.status_code for answer in deletions] == [204, 204]
    assert (rows(database), len(backboard.threads())) == ([], 1)


async def test_old_doubts_end_with_a_listing_that_shows_nothing(
    chat: Chat, person: Person, database: Database, backboard: Sandbox
) -> None:
    """A note that is still young stays, since its thread may be on its way."""
    backboard.next("create_thread", status(500))
    await chat.open(person)
    await chat.open(person)
    young = len(rows(database, "session_attempts"))
    database.execute("UPDATE session_attempts SET noted_at = now() - INTERVAL '1 hour'")

    await chat.open(person)
    calls = len(backboard.calls(kind="list_threads"))
    await chat.open(person)

    assert (young, rows(database, "session_attempts")) == (1, [])
    assert len(backboard.calls(kind="list_threads")) == calls


async def test_a_deletion_that_backboard_refused_is_finished_by_the_next(
    chat: Chat, person: Person, database: Database, backboard: Sandbox
) -> None:
    """The rows are gone at once, the thread is remembered until it is gone too."""
    session = (await chat.open(person)).json()
    path = f"/sessions/{session['id']}"
    backboard.next("delete_thread", drops())

    first, read = await chat.delete(path), await chat.get(path)
    remembered = [row["thread_id"] for row in rows(database, "deleted_threads")]
    second, third = await chat.delete(path), await chat.delete(path)

    assert [first.status_code, read.status_code, second.status_code, third.status_code] == [503, 404, 204, 404]
    assert remembered == [session["thread_id"]]
    assert (rows(database, "deleted_threads"), backboard.threads()) == ([], [])


async def test_with_backboard_down_everything_else_goes_on(chat: Chat, person: Person, backboard: Sandbox) -> None:
    """Reading, writing and a repeated wish need nobody; a new session is refused, and soon at once."""
    session = (await chat.open(person, key="a")).json()
    with backboard.refuse_connections():
        refused = [await chat.open(person) for _ in range(6)]
        said = await chat.say(session, "user", "hello")
        history = await chat.get(f"/sessions/{session['id']}/messages")
        again = await chat.open(person, key="a")

    assert {answer.status_code for answer in refused} == {503}
    assert (said.status_code, history.status_code, again.json()) == (201, 200, session)


async def test_a_process_killed_between_thread_and_commit_leaves_one_session(
    start_server: Callable[..., ServerProcess], database: Database, backboard: Sandbox
) -> None:
    """Kill -9 when the thread is made and not yet answered for; the retry, under the same key, adopts it."""
    person, gate = Person(), threading.Event()
    first, second = start_server(wait=False), start_server()
    wait_until(responds(first.url))
    async with connected_to(first) as doomed, connected_to(second) as other:
        await Chat(doomed.client).post("/ensure-user", {"clerk_id": person.clerk_id})
        backboard.next("create_thread", held(gate, after_commit=True))
        wish = asyncio.create_task(Chat(doomed.client).open(person, key="a"))
        await asyncio.to_thread(backboard.wait_for, lambda: len(backboard.threads()) == 1)
        first.kill()
        with pytest.raises(httpx.TransportError):
            await wish
        answer = await Chat(other.client).open(person, key="a")
    gate.set()

    (session,), (thread,) = rows(database), backboard.threads()
    assert (answer.status_code, answer.json()["id"]) == (201, str(session["id"]))
    assert session["thread_id"] == thread.id
