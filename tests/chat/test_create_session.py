"""Creating a session: one row and one thread for one request, whatever fails on the way."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from app.chat.threads import MOST_LOOKS
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
    """A user with an assistant and without a session."""
    person = Person()
    await chat.post("/ensure-user", {"clerk_id": person.clerk_id})
    return person


def rows(database: Database, table: str = "sessions") -> list[dict[str, Any]]:
    return database.execute(f"SELECT * FROM {table}".encode()).fetchall()


def errors_in(log: Path) -> int:
    return log.read_text().count("backboard_id_twice")


async def test_the_same_idempotency_key_returns_the_same_session(
    chat: Chat, person: Person, backboard: Sandbox
) -> None:
    """With status and body of the first response, also after the session was changed; without a call to Backboard."""
    first = await chat.open(person, key="a", title="Lisbon")
    await chat.say(first.json(), "user", "hello")
    await chat.patch(f"/sessions/{first.json()['id']}", {"title": "Porto", "status": "completed"})
    calls = len(backboard.calls())

    again = await chat.open(person, key="a", title="Lisbon")

    assert (again.status_code, again.json()) == (first.status_code, first.json()) == (201, first.json())
    assert len(backboard.calls()) == calls


async def test_an_idempotency_key_belongs_to_one_user_and_one_title(
    chat: Chat, person: Person, backboard: Sandbox
) -> None:
    """Another user's equal key is another session; another title under the same key is 422."""
    await chat.open(person, key="a")

    other, changed, same = (
        await chat.open(Person(), key="a"),
        await chat.open(person, key="a", title="Lisbon"),
        await chat.open(person, key="a", title="New Trip"),
    )

    assert (other.status_code, changed.status_code, same.status_code) == (201, 422, 201)
    assert len(backboard.threads()) == 2


SCENARIO = {"name": "City trip", "system_prompt": "You plan city trips."}


async def test_a_key_belongs_to_one_scenario_too(chat: Chat, person: Person) -> None:
    """Repeated, it is answered as the first time, also when the scenario was retired meanwhile."""
    for slug in ("a", "b"):
        await chat.put(f"/scenarios/{slug}", SCENARIO)
    first = await chat.open(person, key="a", scenario="a")
    retired = (await chat.put("/scenarios/a", SCENARIO | {"is_active": False})).json()

    wishes: list[dict[str, str]] = [{"scenario": "a"}, {"scenario": "b"}, {}]
    again, other, none = [await chat.open(person, key="a", **more) for more in wishes]

    assert (again.status_code, again.json()) == (201, first.json() | {"scenario": retired})
    assert (other.status_code, none.status_code) == (422, 422)


async def test_a_scenario_that_is_unknown_or_retired_makes_no_session(
    chat: Chat, person: Person, database: Database, backboard: Sandbox
) -> None:
    """With a key or without; a malformed slug neither. An unknown user is not made for an unknown scenario."""
    await chat.put("/scenarios/retired", SCENARIO | {"is_active": False})
    calls = len(backboard.calls())

    answers = [await chat.open(person, key=key, scenario="retired") for key in (None, "a")]
    answers += [await chat.open(Person(), scenario=slug) for slug in ("unknown", "", "A", "a_b", "-a", "a\n", 7, ["a"])]

    assert {answer.status_code for answer in answers} == {422}
    assert {answer.json()["errors"][0]["pointer"].removesuffix("/0") for answer in answers} == {"#/scenario"}
    assert [answer.json()["code"] for answer in answers[:4]] == ["scenario", "scenario", "scenario", "shape"]
    assert (rows(database), rows(database, "session_attempts")) == ([], [])
    assert len(backboard.calls()) == calls


async def test_a_scenario_that_is_deleted_while_a_session_is_created_makes_none(
    chat: Chat, person: Person, backboard: Sandbox
) -> None:
    """The thread goes to the user's next session."""
    await chat.put("/scenarios/a", SCENARIO)
    gate = threading.Event()
    backboard.next("create_thread", held(gate, after_commit=True))
    opening = asyncio.create_task(chat.open(person, scenario="a"))
    await asyncio.to_thread(backboard.wait_for, lambda: len(backboard.threads()) == 1)

    assert (await chat.delete("/scenarios/a")).status_code == 204
    gate.set()
    refused = await opening

    opened = await chat.open(person)

    assert (refused.status_code, opened.status_code) == (422, 201)
    assert [one.id for one in backboard.threads()] == [opened.json()["thread_id"]]


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "ä"])
async def test_an_idempotency_key_other_than_1_to_255_printable_ascii_characters_is_422(
    chat: Chat, person: Person, key: str
) -> None:
    headers = {b"authorization": f"Bearer {chat.token}".encode(), b"idempotency-key": key.encode("latin-1")}

    path = f"/users/{person.clerk_id}/sessions"
    answer = await chat.client.request("POST", path, json={}, headers=list(headers.items()))

    assert answer.status_code == 422


async def test_concurrent_requests_with_one_key_create_one_session(
    chat: Chat, person: Person, database: Database, backboard: Sandbox
) -> None:
    """The others find it under the lock."""
    opened = await asyncio.gather(*(chat.open(person, key="a") for _ in range(4)))

    assert {(answer.status_code, answer.json()["id"]) for answer in opened} == {(201, str(rows(database)[0]["id"]))}
    assert len(backboard.threads()) == len(rows(database)) == 1
    assert rows(database, "session_attempts") == []


async def test_concurrent_requests_without_a_key_create_a_session_each(
    chat: Chat, person: Person, database: Database, backboard: Sandbox
) -> None:
    """Each on a thread of its own; no attempt row is left."""
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
async def test_a_thread_is_adopted_if_its_answer_was_lost(
    chat: Chat, person: Person, database: Database, backboard: Sandbox, fault: Fault
) -> None:
    """503 first; the next request takes over the thread."""
    backboard.next("create_thread", fault)

    lost, found = await chat.open(person, key="a"), await chat.open(person, key="a")

    assert (lost.status_code, lost.json()["title"]) == (503, "Service initialization failed")
    assert 1 <= int(lost.headers["retry-after"]) <= 30
    (thread,) = backboard.threads()
    assert (found.status_code, found.json()["thread_id"]) == (201, thread.id)
    assert len(rows(database)) == 1


@pytest.mark.parametrize("code", [400, 401, 404, 422, 429, 500, 503])
async def test_a_session_without_a_thread_is_503_and_leaves_no_row(
    chat: Chat, person: Person, database: Database, backboard: Sandbox, code: int
) -> None:
    backboard.next("create_thread", status(code))

    answer = await chat.open(person)

    assert (answer.status_code, answer.json()["title"]) == (503, "Service initialization failed")
    assert rows(database) == []


async def test_a_failed_listing_of_threads_creates_nothing(chat: Chat, person: Person, backboard: Sandbox) -> None:
    """It does not say that the lost try left no thread."""
    backboard.next("create_thread", drops(after_commit=True))
    backboard.next("list_threads", status(500))

    tries = [await chat.open(person) for _ in range(3)]

    assert [answer.status_code for answer in tries] == [503, 503, 201]
    assert len(backboard.threads()) == 1


async def test_only_an_unused_thread_of_the_time_of_a_lost_try_is_adopted(
    chat: Chat, person: Person, backboard: Sandbox
) -> None:
    """Not an older one, not one with messages, not one of another session."""
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


@pytest.mark.parametrize("listed", ["shown", "empty", "absent"])
async def test_a_thread_with_messages_is_not_adopted_although_a_listing_hides_them(
    chat: Chat, person: Person, backboard: Sandbox, listed: Any
) -> None:
    """A candidate is asked for alone; an empty one among others is found all the same."""
    backboard.switches.listed_messages = listed
    assistant_id = backboard.alive()[0].id
    backboard.next("create_thread", status(500, after_commit=True))
    used = [backboard.make_thread(assistant_id, messages=messages) for messages in (4, 1)]
    await chat.open(person)

    adopted, created = (await chat.open(person)).json(), (await chat.open(person)).json()

    assert {adopted["thread_id"], created["thread_id"]}.isdisjoint(thread.id for thread in used)
    assert len(backboard.threads()) == 4


@pytest.mark.parametrize("fault", [status(500), drops(), without("thread_id")], ids=str)
async def test_a_candidate_that_cannot_be_looked_at_creates_nothing(
    chat: Chat, person: Person, backboard: Sandbox, fault: Fault
) -> None:
    """A look that failed is not "empty", and not "used" either."""
    backboard.next("create_thread", status(500, after_commit=True))
    await chat.open(person)
    backboard.next("get_thread", fault)

    answers = [(await chat.open(person)).status_code for _ in range(2)]

    assert (answers, len(backboard.threads())) == ([503, 201], 1)


async def test_a_candidate_that_vanishes_is_passed_over(chat: Chat, person: Person, backboard: Sandbox) -> None:
    backboard.next("create_thread", status(500, after_commit=True))
    await chat.open(person)
    backboard.next("get_thread", status(404, "Thread not found"))

    assert (await chat.open(person)).status_code == 201
    assert len(backboard.threads()) == 2


async def test_only_so_many_candidates_are_looked_at(
    chat: Chat, person: Person, database: Database, backboard: Sandbox
) -> None:
    """A chat backend may have made many threads of its own; the attempt row stays, since not all were seen."""
    backboard.switches.listed_messages = "empty"
    assistant_id = backboard.alive()[0].id
    backboard.next("create_thread", status(500))
    await chat.open(person)
    for _ in range(MOST_LOOKS + 1):
        backboard.make_thread(assistant_id, messages=1)
    database.execute("UPDATE session_attempts SET noted_at = now() - INTERVAL '1 hour'")

    assert (await chat.open(person)).status_code == 201
    assert len(backboard.calls(kind="get_thread")) == MOST_LOOKS
    assert len(rows(database, "session_attempts")) == 1


async def test_a_thread_with_an_unfinished_deletion_is_not_adopted(
    chat: Chat, person: Person, backboard: Sandbox
) -> None:
    """The deletion would later take the new session's thread."""
    session = (await chat.open(person)).json()
    backboard.next("delete_thread", status(500))
    backboard.next("create_thread", status(500))
    assert (await chat.delete(f"/sessions/{session['id']}")).status_code == 503
    await chat.open(person)

    opened = (await chat.open(person)).json()

    assert opened["thread_id"] != session["thread_id"]
    assert (await chat.delete(f"/sessions/{session['id']}")).status_code == 204
    assert [thread.id for thread in backboard.threads()] == [opened["thread_id"]]


async def test_a_thread_id_of_another_session_is_503_and_nothing_is_stored_or_deleted(
    chat: Chat, person: Person, database: Database, backboard: Sandbox
) -> None:
    """Two sessions on one thread would read each other's messages."""
    first = (await chat.open(person)).json()
    backboard.next("create_thread", says(thread_id=first["thread_id"]))

    answer, later = await chat.open(person), await chat.open(person)

    assert (answer.status_code, later.status_code) == (503, 201)
    assert len(rows(database)) == len(backboard.threads()) == 2


async def test_a_user_deleted_while_a_session_is_created_is_410(
    chat: Chat, service: Service, person: Person, database: Database, backboard: Sandbox, in_process_log: Path
) -> None:
    """No error is logged: the thread was deleted with the assistant."""
    gate = threading.Event()
    backboard.next("create_thread", held(gate, after_commit=True))
    creating = asyncio.create_task(chat.open(person))
    await asyncio.to_thread(backboard.wait_for, lambda: len(backboard.threads()) == 1)
    errors = errors_in(in_process_log)

    deletion = await service.deliver(event("user.deleted", {"id": person.clerk_id, "deleted": True}))
    gate.set()
    answer = await creating

    assert (deletion.json(), answer.status_code) == ({"outcome": "deleted"}, 410)
    assert errors_in(in_process_log) == errors
    assert (backboard.threads(), rows(database), rows(database, "session_attempts")) == ([], [], [])


async def test_a_thread_that_is_created_late_is_adopted_by_a_later_session(
    chat: Chat, person: Person, database: Database, backboard: Sandbox
) -> None:
    """The next listing misses it, the one after that finds it; in the end no thread is left over."""
    gate = threading.Event()
    backboard.next("create_thread", Fault("late", commit=late(0).commit, gate=gate, wire=late(0).wire))
    await chat.open(person)
    await chat.open(person)
    gate.set()
    await asyncio.to_thread(backboard.wait_for, lambda: len(backboard.threads()) == 2)

    await chat.open(person)

    assert len(rows(database)) == 2
    assert {row["thread_id"] for row in rows(database)} == {thread.id for thread in backboard.threads()}


async def test_a_session_can_be_deleted_if_its_thread_was_created_twice_or_not_at_all(
    chat: Chat, person: Person, database: Database, backboard: Sandbox
) -> None:
    """Neither shows in Backboard's response."""
    backboard.next("create_thread", twice(), forgets())

    sessions = [(await chat.open(person)).json() for _ in range(2)]
    deletions = [await chat.delete(f"/sessions/{session['id']}") for session in sessions]

    assert [answer.status_code for answer in deletions] == [204, 204]
    assert (rows(database), len(backboard.threads())) == ([], 1)


async def test_old_attempt_rows_are_deleted_once_a_listing_shows_no_unused_thread(
    chat: Chat, person: Person, database: Database, backboard: Sandbox
) -> None:
    """A young one stays, since its create may still be in flight."""
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


async def test_with_backboard_down_only_new_sessions_are_503(chat: Chat, person: Person, backboard: Sandbox) -> None:
    """Messages are read and written, and a repeated request returns its session."""
    session = (await chat.open(person, key="a")).json()
    with backboard.refuse_connections():
        refused = [await chat.open(person) for _ in range(6)]
        said = await chat.say(session, "user", "hello")
        history = await chat.get(f"/sessions/{session['id']}/messages")
        again = await chat.open(person, key="a")

    assert {answer.status_code for answer in refused} == {503}
    assert (said.status_code, history.status_code, again.json()) == (201, 200, session)


async def test_a_process_killed_between_thread_and_commit_leaves_one_session_and_one_thread(
    start_server: Callable[..., ServerProcess], database: Database, backboard: Sandbox
) -> None:
    """Kill -9 when the thread is created and not yet answered for; the retry with the same key adopts it."""
    person, gate = Person(), threading.Event()
    first, second = start_server(wait=False), start_server()
    wait_until(responds(first.url))
    async with connected_to(first) as killed, connected_to(second) as other:
        await Chat(killed.client).post("/ensure-user", {"clerk_id": person.clerk_id})
        backboard.next("create_thread", held(gate, after_commit=True))
        request = asyncio.create_task(Chat(killed.client).open(person, key="a"))
        await asyncio.to_thread(backboard.wait_for, lambda: len(backboard.threads()) == 1)
        first.kill()
        with pytest.raises(httpx.TransportError):
            await request
        answer = await Chat(other.client).open(person, key="a")
    gate.set()

    (session,), (thread,) = rows(database), backboard.threads()
    assert (answer.status_code, answer.json()["id"]) == (201, str(session["id"]))
    assert session["thread_id"] == thread.id
