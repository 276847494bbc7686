"""Messages under an id of the caller's: sent again they are stored once, and the id stands for nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from app.application import create_app
from tests.support.factories import Person
from tests.support.service import Chat, Service, in_process, settings_of
from tools.processes import wait_until

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]
Json = dict[str, Any]


@pytest.fixture
def chat(service: Service) -> Chat:
    return Chat(service.client)


@pytest.fixture
async def session(chat: Chat) -> Json:
    """A session without messages."""
    session: Json = (await chat.open(Person())).json()
    return session


@pytest.fixture
async def two_backends(chat: Chat, variables: dict[str, str]) -> AsyncIterator[list[Chat]]:
    async with in_process(create_app(settings_of(variables))) as second:
        yield [chat, Chat(second.client)]


def message(content: str = "hello", **more: Any) -> Json:
    return {"id": str(uuid4()), "role": "user", "content": content, **more}


async def send(chat: Chat, session: Json, *messages: Json) -> httpx.Response:
    """Alone or in a batch; JSON with escapes, since httpx would refuse half an emoji."""
    path, body = ("", messages[0]) if len(messages) == 1 else ("/batch", {"messages": messages})
    return await chat.raw("POST", f"/sessions/{session['id']}/messages{path}", json.dumps(body).encode())


async def history(chat: Chat, session: Json) -> list[Json]:
    answer = await chat.get(f"/sessions/{session['id']}/messages", params={"limit": 200})
    messages: list[Json] = answer.json()["messages"]
    return messages


async def state(chat: Chat, session: Json) -> Json:
    answer: Json = (await chat.get(f"/sessions/{session['id']}")).json()
    return answer


# A short one is stored with others, a longer one by itself, a long one on another connection.
SENT: dict[str, list[Json]] = {
    "alone": [message()],
    "with metadata": [message(metadata={"model": "m", "tokens": 3, "deep": [{"a": None}]})],
    "with numbers that Postgres writes out": [message(metadata={"n": 1e20, "m": -0.0})],
    "with what cannot be stored": [message("a\0b \ud83d", metadata={"a\0": "\ude00"})],
    "of 9,000 characters": [message("x" * 9_000)],
    "of 70,000 characters": [message("x" * 70_000)],
    "a batch": [message(str(number), metadata={"n": number}) for number in range(3)],
    "a long batch": [message("x" * 30_000), message("y" * 40_000)],
}


@pytest.mark.parametrize("messages", SENT.values(), ids=SENT.keys())
async def test_a_message_that_is_sent_again_is_stored_once(
    two_backends: list[Chat], session: Json, messages: list[Json]
) -> None:
    """Both are answered alike, and the session stays as it was; through another process, and at its end, too."""
    chat, other = two_backends
    shouted = [one | {"id": one["id"].upper()} for one in messages]
    first = await send(chat, session, *messages)
    before = await state(chat, session)

    again = [await send(chat, session, *messages), await send(other, session, *shouted)]
    for status in ("completed", "abandoned"):
        await chat.patch(f"/sessions/{session['id']}", {"status": status})
        again.append(await send(chat, session, *messages))

    assert [answer.status_code for answer in (first, *again)] == [201] * 5
    assert [answer.json() for answer in again] == [first.json()] * 4
    stored = first.json().get("messages", [first.json()])
    assert [one["id"] for one in stored] == [one["id"] for one in messages]
    assert await history(chat, session) == stored
    after = await state(chat, session)
    assert {name: after[name] for name in ("last_active_at", "message_count", "last_message")} == {
        name: before[name] for name in ("last_active_at", "message_count", "last_message")
    }
    assert after["message_count"] == len(messages)


SAME: dict[str, tuple[Json, Json]] = {
    "keys in another order": ({"metadata": {"a": 1, "b": 2}}, {"metadata": {"b": 2, "a": 1}}),
    "a number in another way": ({"metadata": {"a": 1}}, {"metadata": {"a": 1.0}}),
    "half an emoji and what it becomes": ({"content": "a\ud83d"}, {"content": "a\ufffd"}),
    "NUL and nothing": ({"content": "a\0b"}, {"content": "ab"}),
    "null and no metadata": ({"metadata": None}, {}),
}


async def test_what_is_stored_is_compared(chat: Chat, session: Json) -> None:
    """Not what was sent: Postgres makes the same of both."""
    answers = {}
    for name, (first, second) in SAME.items():
        sent = message()
        answers[name] = [await send(chat, session, sent | one) for one in (first, second)]

    assert [
        name for name, (first, second) in answers.items() if first.status_code != 201 or second.text != first.text
    ] == []
    assert len(await history(chat, session)) == len(SAME)


CHANGES: dict[str, Json] = {
    "another role": {"role": "assistant"},
    "another content": {"content": "Hello"},
    "a blank more": {"content": "hello "},
    "the same letter in another form": {"content": "he\u0301llo"},
    "other metadata": {"metadata": {"a": 2}},
    "no metadata": {"metadata": None},
    "empty metadata": {"metadata": {}},
    "more metadata": {"metadata": {"a": 1, "b": None}},
    "a text for a number": {"metadata": {"a": "1"}},
    "a long content": {"content": "x" * 70_000},
}


async def test_an_id_stands_for_one_message(chat: Chat, session: Json, database: Database) -> None:
    """Anything else under it is 409, alone and in a batch, of which nothing is stored."""
    sent = message(metadata={"a": 1})
    await send(chat, session, sent)
    before, rows = await state(chat, session), database.execute("SELECT * FROM messages").fetchall()

    statuses = {
        name: [
            (await send(chat, session, sent | change)).status_code,
            (await send(chat, session, message("one more"), sent | change)).status_code,
            (await send(chat, session, sent | change, {"role": "user", "content": "without an id"})).status_code,
        ]
        for name, change in CHANGES.items()
    }

    assert statuses == {name: [409, 409, 409] for name in CHANGES}
    assert database.execute("SELECT * FROM messages").fetchall() == rows
    assert await state(chat, session) == before
    assert (await send(chat, session, sent)).status_code == 201


async def test_an_id_stands_for_a_message_of_one_session(chat: Chat) -> None:
    """Not for one of the same user's other session, nor of another user's; all else may be the same."""
    person, sent = Person(), message()
    session, *others = [(await chat.open(one)).json() for one in (person, person, Person())]
    await send(chat, session, sent)

    answers = [await send(chat, other, sent) for other in others]
    answers += [await send(chat, other, message("one more"), sent) for other in others]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(409, "message_id_conflict")}
    assert [await history(chat, other) for other in others] == [[], []]


async def test_of_a_batch_only_what_is_missing_is_stored(chat: Chat, session: Json) -> None:
    """Behind what is there, in its order; the answer is in the order of the batch."""
    old, older = message("old"), message("older")
    new, newer = message("new"), {"role": "user", "content": "newer"}
    await send(chat, session, older)
    await send(chat, session, old)

    answer = await send(chat, session, new, old, newer, older)

    contents = [one["content"] for one in answer.json()["messages"]]
    assert (answer.status_code, contents) == (201, ["new", "old", "newer", "older"])
    assert [one["content"] for one in await history(chat, session)] == ["older", "old", "new", "newer"]
    assert (await state(chat, session))["message_count"] == 4


async def test_an_id_twice_in_a_batch_is_422(chat: Chat, session: Json) -> None:
    """However it is spelled; the second is named."""
    sent = message("a")

    answers = [
        await send(chat, session, message("b"), sent, message("c"), second)
        for second in (sent, message("d", id=sent["id"].upper()))
    ]

    assert [answer.status_code for answer in answers] == [422, 422]
    fault = {"pointer": "#/messages/3/id", "detail": "must not be the id of a message before it"}
    assert [answer.json()["errors"] for answer in answers] == [[fault], [fault]]
    assert await history(chat, session) == []


NO_IDS = ["", "x", 7, True, [], {}, "00000000-0000-0000-0000-00000000000g", "a" * 32, f"urn:uuid:{uuid4()}",
          f"{{{uuid4()}}}", f" {uuid4()}", f"{uuid4()}\n", "\u0661" * 8 + "-0000-4000-8000-000000000000"]  # fmt: skip


async def test_an_id_is_a_uuid(chat: Chat, session: Json) -> None:
    """In the one spelling of RFC 9562, in upper or lower case; without one, or with null, the message gets one."""
    refused = [await send(chat, session, message(id=value)) for value in NO_IDS]
    without = await send(chat, session, message(id=None))

    assert {answer.status_code for answer in refused} == {422}
    assert {answer.json()["errors"][0]["pointer"] for answer in refused} == {"#/id"}
    assert without.status_code == 201
    assert await history(chat, session) == [without.json()]


async def test_a_message_that_is_sent_many_times_at_once_is_stored_once(
    two_backends: list[Chat], session: Json
) -> None:
    """By two processes, short and long, alone and in batches; all are answered alike."""
    for messages in ([message("a")], [message("b" * 9_000)], [message("c"), message("d")]):
        answers = await asyncio.gather(*(send(backend, session, *messages) for backend in two_backends * 4))

        assert {answer.status_code for answer in answers} == {201}
        assert all(answer.json() == answers[0].json() for answer in answers)
    assert [one["content"][0] for one in await history(two_backends[0], session)] == ["a", "b", "c", "d"]
    assert (await state(two_backends[0], session))["message_count"] == 4


async def test_of_many_sessions_one_gets_the_message_of_an_id(two_backends: list[Chat], database: Database) -> None:
    """The others get 409, also where they are stored by the same statement."""
    sessions = [(await two_backends[0].open(Person())).json() for _ in range(6)]
    for sent in (message("a"), message("b" * 9_000)):
        answers = await asyncio.gather(
            *(send(two_backends[number % 2], session, sent) for number, session in enumerate(sessions)),
        )

        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5
        rows = database.execute("SELECT id FROM messages WHERE id = %s", [sent["id"]]).fetchall()
        assert len(rows) == 1


@contextmanager
def rival(database_url: str, session: Json, sent: Json) -> Iterator[psycopg.Connection[Any]]:
    """Another process that has stored the message in a session, and has not committed yet."""
    with psycopg.connect(database_url) as connection:
        store_as_rival(connection, session, sent)
        yield connection


def store_as_rival(connection: psycopg.Connection[Any], session: Json, sent: Json) -> None:
    connection.execute(
        "INSERT INTO messages (id, session_id, role, content) VALUES (%s, %s, 'user', 'hello')",
        [sent["id"], session["id"]],
    )


@pytest.mark.parametrize("content", ["hello", "x" * 9_000])
@pytest.mark.parametrize(("ends", "status"), [("commit", 409), ("rollback", 201)])
async def test_a_rival_decides_by_its_commit(
    chat: Chat, session: Json, direct_url: str, database: Database, content: str, ends: str, status: int
) -> None:
    """In another session; the append waits for it."""
    other, sent = (await chat.open(Person())).json(), message(content)
    with rival(direct_url, other, sent) as connection:
        appending = asyncio.create_task(send(chat, session, sent))
        waiting = b"SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%insert_mess%'"
        await asyncio.to_thread(wait_until, lambda: database.execute(waiting).fetchall() != [])
        getattr(connection, ends)()

    assert (await appending).status_code == status


# The lengths of a batch's messages: stored with others', by themselves, on another connection.
@pytest.mark.parametrize("length", [5, 9_000, 40_000])
async def test_a_batch_waits_for_an_id_without_holding_one_that_comes_later(
    chat: Chat, session: Json, direct_url: str, database: Database, length: int
) -> None:
    """Whatever its order: else a rival that stores the same ids would wait in turn, and Postgres end one of both."""
    other = (await chat.open(Person())).json()
    low, high = sorted((message("x" * length), message("x" * length)), key=lambda one: str(one["id"]))
    with rival(direct_url, other, low) as connection:
        appending = asyncio.create_task(send(chat, session, high, low))
        waiting = b"SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%insert_mess%'"
        await asyncio.to_thread(wait_until, lambda: database.execute(waiting).fetchall() != [])
        # Less than what Postgres waits before it looks for a circle.
        connection.execute(b"SET LOCAL lock_timeout = '300ms'")
        store_as_rival(connection, other, high)
        connection.commit()

    answer = await appending
    assert (answer.status_code, await history(chat, session)) == (409, [])


async def test_so_does_one_statement_for_several_sessions(
    chat: Chat, session: Json, direct_url: str, database: Database
) -> None:
    """Of which each may be another user's."""
    others = [(await chat.open(Person())).json() for _ in range(2)]
    low, high = sorted((message(), message()), key=lambda one: str(one["id"]))
    append = (
        "SELECT message_id FROM add_messages(%s::UUID[], '{NULL,NULL}', '{1,2}', %s::UUID[], '{user,user}',"
        " '{x,x}', '{NULL,NULL}')"
    )
    values = [[session["id"], others[0]["id"]], [high["id"], low["id"]]]
    with rival(direct_url, others[1], low) as connection, psycopg.connect(direct_url) as third:
        appending = asyncio.create_task(asyncio.to_thread(third.execute, append, values))
        waiting = b"SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%add_messages%'"
        await asyncio.to_thread(wait_until, lambda: database.execute(waiting).fetchall() != [])
        connection.execute(b"SET LOCAL lock_timeout = '300ms'")
        store_as_rival(connection, others[1], high)
        connection.commit()
        with pytest.raises(psycopg.errors.UniqueViolation):
            await appending


async def test_the_order_of_a_batch_is_not_that_of_its_ids(chat: Chat, session: Json) -> None:
    """Nor do those without ids stand apart: in the history and in the answer all are in the order of the batch."""
    ids = sorted((str(uuid4()) for _ in range(4)), reverse=True)
    batch = [message(f"{place} with an id", id=one) for place, one in enumerate(ids)]
    for place in (4, 2, 2, 0):
        batch.insert(place, {"role": "user", "content": f"{place} without"})

    answer = await send(chat, session, *batch)

    sent = [one["content"] for one in batch]
    assert [one["content"] for one in answer.json()["messages"]] == sent
    assert await history(chat, session) == answer.json()["messages"]


async def test_a_conflict_names_its_messages(chat: Chat, session: Json) -> None:
    """Each by its pointer, and none of those that would do; a batch of one as a batch."""
    stored = [message(str(number)) for number in range(4)]
    other = (await chat.open(Person())).json()
    for sent in stored:
        await send(chat, session, sent)
    changed = [one | {"content": "changed"} for one in stored]
    batches = {
        "one of a batch": (session, [message(), changed[0]], [1]),
        "several": (session, [changed[2], message(), changed[0], stored[3], changed[1]], [0, 2, 4]),
        "of another session": (other, [message(), *stored], [1, 2, 3, 4]),
        "a batch of one": (session, [changed[0]], [0]),
    }

    answers = {
        name: await chat.post(f"/sessions/{where['id']}/messages/batch", {"messages": messages})
        for name, (where, messages, _) in batches.items()
    }
    alone = await send(chat, session, changed[1])

    named = {name: [one["pointer"] for one in answer.json()["errors"]] for name, answer in answers.items()}
    assert {answer.status_code for answer in [alone, *answers.values()]} == {409}
    assert named == {name: [f"#/messages/{one}/id" for one in numbers] for name, (*_, numbers) in batches.items()}
    assert alone.json()["errors"] == [{"pointer": "#/id", "detail": "belongs to another message"}]


async def test_the_id_of_a_deleted_message_is_forgotten(chat: Chat, session: Json) -> None:
    """As an Idempotency-Key is with its session."""
    sent = message()
    await send(chat, session, sent)
    await chat.delete(f"/sessions/{session['id']}/messages/{sent['id']}")

    answer = await send(chat, session, sent | {"content": "another"})

    assert (answer.status_code, await history(chat, session)) == (201, [answer.json()])


async def test_a_repetition_is_compared_with_what_came_first(chat: Chat, session: Json) -> None:
    """Whatever its metadata has become since, and answered with that."""
    for sent in (message(metadata={"model": "m"}), message("without metadata")):
        first = await send(chat, session, sent)
        path = f"/sessions/{session['id']}/messages/{sent['id']}"
        for change in ({"feedback": 1}, {"feedback": 2, "model": None}):
            changed = await chat.patch(path, {"metadata": change})

        again = await send(chat, session, sent)
        as_changed = await send(chat, session, sent | {"metadata": changed.json()["metadata"]})

        assert (again.status_code, again.json()) == (201, first.json())
        assert as_changed.status_code == 409
        assert (await history(chat, session))[-1]["metadata"] == {"feedback": 2}


async def test_another_users_session_is_404_before_anything_is_said_of_an_id(
    chat: Chat, session: Json, database: Database
) -> None:
    """A session that is not there tells nothing about the messages of others."""
    sent = message()
    await send(chat, session, sent)

    answers = [await send(chat, {"id": str(uuid4())}, sent), await send(chat, {"id": str(uuid4())}, sent, message())]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert len(database.execute("SELECT id FROM messages").fetchall()) == 1
