"""The messages of a session over HTTP: their order, their pages, their limits, and which callers reach them."""

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from app.application import create_app
from app.clerk.users import EPOCH
from tests.support.factories import Person
from tests.support.service import Chat, Service, in_process, settings_of
from tools.sandbox.clerk.frontend_api import ClerkIssuer

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]


@pytest.fixture
def chat(service: Service) -> Chat:
    return Chat(service.client)


@pytest.fixture
async def session(chat: Chat) -> dict[str, Any]:
    """A session without messages."""
    session: dict[str, Any] = (await chat.open(Person())).json()
    return session


async def history(chat: Chat, session: dict[str, Any], **query: Any) -> list[str]:
    answer = await chat.get(f"/sessions/{session['id']}/messages", params=query)
    return [message["content"] for message in answer.json()["messages"]]


async def test_messages_are_read_in_their_order(chat: Chat, session: dict[str, Any]) -> None:
    """With role, content and metadata unchanged; the session's last activity is that of its last message."""
    first = await chat.say(session, "user", " a\tb\n\u2028\x07 \U0001f600", metadata={"n": 0.5, "x": [None, "ü"]})
    second = await chat.say(session, "assistant", "b")

    answer = await chat.get(f"/sessions/{session['id']}/messages")

    assert (first.status_code, answer.json()) == (201, {"messages": [first.json(), second.json()], "before": None})
    assert first.json()["content"] == " a\tb\n\u2028\x07 \U0001f600"
    assert (first.json()["metadata"], second.json()["metadata"]) == ({"n": 0.5, "x": [None, "ü"]}, None)
    again = (await chat.get(f"/sessions/{session['id']}")).json()
    assert again["last_active_at"] == second.json()["created_at"]


async def test_the_first_page_has_the_last_messages(chat: Chat, session: dict[str, Any]) -> None:
    """Each page is in chronological order, and deleting a message between two pages skips no other."""
    said = [(await chat.say(session, "user", str(number))).json() for number in range(7)]
    path = f"/sessions/{session['id']}/messages"

    pages = [(await chat.get(path, params={"limit": 3})).json()]
    await chat.delete(f"{path}/{said[4]['id']}")
    while before := pages[-1]["before"]:
        pages.append((await chat.get(path, params={"limit": 3, "before": before})).json())

    assert [[one["content"] for one in page["messages"]] for page in pages] == [["4", "5", "6"], ["1", "2", "3"], ["0"]]


async def test_a_page_of_long_messages_ends_at_4_mib(chat: Chat, session: dict[str, Any]) -> None:
    """Or one message later, so that no page outgrows a dyno; the following page skips none."""
    for number in range(13):
        await chat.say(session, "user", f"{number:03}" + "\U0001f600" * 99_997)
    path = f"/sessions/{session['id']}/messages"

    pages = [(await chat.get(path, params={"limit": 200})).json()]
    while before := pages[-1]["before"]:
        pages.append((await chat.get(path, params={"limit": 200, "before": before})).json())

    numbers = [[int(message["content"][:3]) for message in page["messages"]] for page in pages]
    assert numbers == [list(range(2, 13)), [0, 1]]


async def test_a_batch_is_stored_whole_or_not_at_all(chat: Chat, session: dict[str, Any]) -> None:
    """500 messages keep their order; one invalid message refuses the batch."""
    path = f"/sessions/{session['id']}/messages/batch"
    messages = [{"role": "user", "content": str(number)} for number in range(500)]
    too_many = await chat.post(path, {"messages": [*messages, messages[0]]})
    bad_last = await chat.post(path, {"messages": [*messages[:499], {"role": "user", "content": "a", "metadata": 7}]})
    # Only Postgres notices: it writes the numbers out.
    grown = await chat.post(path, {"messages": [messages[0], messages[1] | {"metadata": {"a": [1e300] * 100}}]})
    before = await history(chat, session)

    answer = await chat.post(path, {"messages": messages})

    assert [too_many.status_code, bad_last.status_code, grown.status_code] == [422] * 3
    assert (before, answer.status_code) == ([], 201)
    assert [one["content"] for one in answer.json()["messages"]] == [str(number) for number in range(500)]
    assert await history(chat, session, limit=3) == ["497", "498", "499"]


async def test_two_backends_writing_at_once_see_one_order(
    chat: Chat, session: dict[str, Any], variables: dict[str, str], database: Database
) -> None:
    """Each backend's own order is kept, batches stay together, and times rise with positions."""
    async with in_process(create_app(settings_of(variables))) as second:
        other = Chat(second.client)

        async def talk(backend: Chat, name: str) -> None:
            for number in range(15):
                await backend.say(session, "user", f"{name}{number:02}")
                batch = [{"role": "assistant", "content": f"{name}{number:02}{part}"} for part in "xy"]
                await backend.post(f"/sessions/{session['id']}/messages/batch", {"messages": batch})

        await asyncio.gather(talk(chat, "a"), talk(other, "b"))
        seen = [await history(backend, session, limit=200) for backend in (chat, other)]

    assert (seen[0], len(seen[0])) == (seen[1], 90)
    for name in "ab":
        own = [content for content in seen[0] if content.startswith(name)]
        assert own == sorted(own)
    assert all(seen[0][at + 1] == text[:-1] + "y" for at, text in enumerate(seen[0]) if text.endswith("x"))
    rows = database.execute("SELECT created_at FROM messages ORDER BY position").fetchall()
    assert [row["created_at"] for row in rows] == sorted(row["created_at"] for row in rows)


async def test_a_locked_table_holds_at_most_one_connection(
    chat: Chat, session: dict[str, Any], database: Database
) -> None:
    """Writers get 503 in time, and Postgres ends the statements that wait for the lock."""
    with database.transaction():
        database.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
        locked = [(await chat.say(session, "user", "lost")).status_code for _ in range(3)]
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%insert_mess%'"
        (row,) = database.execute(waiting.encode()).fetchall()

    assert (locked, row["count"] <= 1) == ([503] * 3, True)
    assert (await chat.say(session, "user", "kept")).status_code == 201
    # A message that was answered 503 may have been stored as well.
    assert "kept" in await history(chat, session)


async def test_waiting_messages_do_not_delay_ensure_user(
    chat: Chat, service: Service, session: dict[str, Any], database: Database
) -> None:
    """Its lookups have a connection of their own."""
    known = Person()
    await service.ensure(known)
    with database.transaction():
        database.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
        writing = [asyncio.create_task(chat.say(session, "user", "hello")) for _ in range(20)]
        await asyncio.sleep(0.1)
        answers = [await service.ensure(known) for _ in range(5)]
        still_waiting = not any(task.done() for task in writing)
    await asyncio.gather(*writing)

    assert ([answer.status_code for answer in answers], still_waiting) == ([200] * 5, True)


async def test_a_message_is_deleted_through_its_own_session_only(chat: Chat, session: dict[str, Any]) -> None:
    said = (await chat.say(session, "user", "a")).json()
    other = (await chat.open(Person())).json()

    statuses = [
        (await chat.delete(f"/sessions/{place['id']}/messages/{said['id']}")).status_code
        for place in (other, session, session)
    ]

    assert statuses == [404, 204, 404]
    assert await history(chat, session) == []


async def test_a_message_may_have_100_000_characters(chat: Chat, session: dict[str, Any]) -> None:
    """However they are escaped; one more is 422."""
    path = f"/sessions/{session['id']}/messages"
    body = json.dumps({"role": "user", "content": "\U0001f600" * 100_000}).encode()

    fits = await chat.raw("POST", path, body)
    long = await chat.say(session, "user", "x" * 100_001)

    assert (fits.status_code, len(fits.json()["content"]), long.status_code) == (201, 100_000, 422)


UNKNOWN = "00000000-0000-4000-8000-000000000000"

MESSAGE = b'{"role": "user", "content": "canary"'
UNUSABLE = {
    "no object": b"[]",
    "another role": b'{"role": "system", "content": "canary"}',
    "role null": b'{"role": null, "content": "canary"}',
    "no content": b'{"role": "user"}',
    "empty content": b'{"role": "user", "content": ""}',
    "content a number": b'{"role": "user", "content": 7}',
    "only NUL": b'{"role": "user", "content": "\\u0000", "metadata": {"a": "canary"}}',
    "not UTF-8": b'{"role": "user", "content": "\xff"}',
    "metadata a list": MESSAGE + b', "metadata": []}',
    "metadata a text": MESSAGE + b', "metadata": "canary"}',
    "metadata too large": MESSAGE + b', "metadata": {"a": "' + b"x" * 17_000 + b'"}}',
    "metadata large when expanded": MESSAGE + b', "metadata": {"a": [' + b",".join([b"1e300"] * 100) + b"]}}",
    "metadata deep": MESSAGE + b', "metadata": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}",
    "metadata very deep": MESSAGE + b', "metadata": {"a": ' + b"[" * 90_000 + b"]" * 90_000 + b"}}",
    "two keys that become one": MESSAGE + b', "metadata": {"a": 1, "a\\u0000": 2}}',
    "infinite": MESSAGE + b', "metadata": {"a": 1e999}}',
    "a key twice": MESSAGE + b', "role": "assistant"}',
    "a batch": b'{"messages": []}',
}


@pytest.mark.parametrize("body", UNUSABLE.values(), ids=UNUSABLE.keys())
async def test_an_invalid_message_is_422(chat: Chat, session: dict[str, Any], body: bytes) -> None:
    """Alone and in a batch; nothing of it is stored or quoted."""
    path = f"/sessions/{session['id']}/messages"

    answers = [
        await chat.raw("POST", path, body),
        await chat.raw("POST", path + "/batch", b'{"messages": [' + body + b"]}"),
    ]

    assert [answer.status_code for answer in answers] == [422, 422]
    assert all("canary" not in answer.text for answer in answers)
    assert await history(chat, session) == []


async def test_metadata_keeps_numbers_of_any_length(chat: Chat, session: dict[str, Any]) -> None:
    """Also those beyond 64 bits, which orjson could not write."""
    number = int("9" * 100)

    said = await chat.say(session, "user", "a", metadata={"n": number, "m": -0.1})

    assert (said.status_code, said.json()["metadata"]) == (201, {"n": number, "m": -0.1})
    assert (await chat.get(f"/sessions/{session['id']}/messages")).json()["messages"] == [said.json()]


CURSORS = ["", "x", "AAAAAAAAAAA=", "AAAAAAAAAAB", "AAAAAAAAAAAA", "AAAAAAAAAA", "A" * 31, "A" * 33, "f" * 32, "_" * 31,
           "A" * 30 + "%2B%2F", "A" * 43, "A" * 5000, "..%2F", "%00", "%FF", "%ED%A0%80", "AAAA%0AAAA",
           "AAAAAAAAAAA%0A", "A" * 32 + "%0A", "ä", "' OR 1=1"]  # fmt: skip


@pytest.mark.parametrize("cursor", CURSORS, ids=lambda cursor: cursor[:12])
async def test_a_malformed_cursor_is_422(chat: Chat, session: dict[str, Any], cursor: str) -> None:
    """Also one that is not canonical, or whose time is beyond the year 9999."""
    sessions = await chat.get(f"/users/{session['clerk_id']}/sessions?cursor={cursor}")
    messages = await chat.get(f"/sessions/{session['id']}/messages?before={cursor}")

    assert [sessions.status_code, messages.status_code] == [422, 422]


@pytest.mark.parametrize("last_active_at", [datetime.min, datetime.max])  # noqa: DTZ901  # In UTC, as below.
@pytest.mark.parametrize("position", [-(2**63), 2**63 - 1])
async def test_a_cursor_may_name_any_position(
    chat: Chat, session: dict[str, Any], last_active_at: datetime, position: int
) -> None:
    microseconds = (last_active_at.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
    cursor = base64.urlsafe_b64encode(struct.pack(">q", microseconds) + UUID(int=0).bytes).decode()
    before = base64.urlsafe_b64encode(struct.pack(">q", position)).rstrip(b"=").decode()

    sessions = await chat.get(f"/users/{session['clerk_id']}/sessions?cursor={cursor}")
    messages = await chat.get(f"/sessions/{session['id']}/messages?before={before}")

    assert [sessions.status_code, messages.status_code] == [200, 200]


async def test_a_cursor_of_another_user_reads_only_the_callers_data(chat: Chat) -> None:
    """A cursor is a position, not a right: it gives a page of the caller's own sessions or messages."""
    person, stranger = Person(), Person()
    for owner in (person, stranger, person, stranger):
        session = (await chat.open(owner)).json()
        for _ in range(2):
            await chat.say(session, "user", owner.clerk_id)
    own_sessions = f"/users/{person.clerk_id}/sessions"
    own_messages = f"/sessions/{(await chat.get(own_sessions)).json()['sessions'][0]['id']}/messages"
    cursor = (await chat.get(f"/users/{stranger.clerk_id}/sessions?limit=1")).json()["next"]
    before = (await chat.get(f"/sessions/{session['id']}/messages?limit=1")).json()["before"]

    sessions = (await chat.get(f"{own_sessions}?cursor={cursor}")).json()["sessions"]
    messages = (await chat.get(f"{own_messages}?before={before}")).json()["messages"]

    assert {one["clerk_id"] for one in sessions} == {person.clerk_id}
    assert {one["content"] for one in messages} == {person.clerk_id}


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=-1", "limit=201", "limit=1e1", "limit=", "limit=%D9%A3", "limit=1&limit=2",
     "limit=" + "9" * 5000, "q=%FF", "q=" + "x" * 201, "q=a&q=b", "before=AAAAAAAAAAA&before=AAAAAAAAAAA",
     "&".join(["a=1"] * 30)],
    ids=lambda query: query[:12],
)  # fmt: skip
async def test_an_invalid_parameter_is_422(chat: Chat, session: dict[str, Any], query: str) -> None:
    """On the path that takes it; the other path may ignore it."""
    answers = [
        await chat.get(f"/users/{session['clerk_id']}/sessions?{query}"),
        await chat.get(f"/sessions/{session['id']}/messages?{query}"),
    ]

    assert 422 in {answer.status_code for answer in answers}
    assert {answer.status_code for answer in answers} <= {200, 422}


@pytest.mark.parametrize("title", ["", " ", "a\nb", "\0", "\x7f", " \0", "x" * 201, 7, ["a"], True])
async def test_a_title_is_one_line_that_is_not_blank(chat: Chat, session: dict[str, Any], title: Any) -> None:
    """Of 1 to 200 characters."""
    body = json.dumps({"title": title}).encode()

    answers = [
        await chat.raw("PATCH", f"/sessions/{session['id']}", body),
        await chat.raw("POST", f"/users/{session['clerk_id']}/sessions", body),
    ]

    assert [answer.status_code for answer in answers] == [422, 422]


@pytest.mark.parametrize(
    "session_id", ["x", "0", "%00", "%0A", "..", "00000000-0000-0000-0000-00000000000g", "%ED%A0%80"]
)
async def test_a_malformed_session_id_is_404(chat: Chat, session_id: str) -> None:
    answers = [await chat.get(f"/sessions/{session_id}"), await chat.get(f"/sessions/{session_id}/messages")]

    assert {answer.status_code for answer in answers} == {404}


@pytest.mark.parametrize(
    "clerk_id", ["x", "user_", "user_%00", "user_a%0A", "user_" + "a" * 65, "org_a", "user_%C3%A4"]
)
async def test_a_malformed_clerk_id_in_the_path_is_refused(chat: Chat, clerk_id: str) -> None:
    """422 for a malformed id, 404 where no route matches."""
    answers = [
        await chat.get(f"/users/{clerk_id}/sessions"),
        await chat.post(f"/users/{clerk_id}/sessions", {}),
        await chat.get(f"/users/{clerk_id}/stats"),
        await chat.put(f"/users/{clerk_id}/preferences", {}),
    ]

    assert {answer.status_code for answer in answers} <= {404, 422}


async def test_each_path_has_a_body_limit_of_its_own(chat: Chat, session: dict[str, Any]) -> None:
    """413 as soon as a longer body is announced."""
    path, huge = f"/sessions/{session['id']}", b'{"title": "' + b"x" * 5_000_000 + b'"}'

    answers = [
        await chat.raw("PATCH", path, huge[:300_000]),
        await chat.raw("POST", path + "/messages", huge[:2_000_000]),
        await chat.raw("POST", path + "/messages/batch", huge[:1_048_577]),
        await chat.raw("PUT", f"/users/{session['clerk_id']}/preferences", huge[:300_000]),
    ]

    assert [answer.status_code for answer in answers] == [413] * 4


@pytest.fixture
async def two_people(variables: dict[str, str]) -> AsyncIterator[tuple[Chat, Person, Chat, Person]]:
    """Two signed-in users with their session tokens, and a service that has Clerk's key."""
    mine, theirs = Person(), Person()
    with ClerkIssuer() as issuer:
        app = create_app(settings_of(variables | {"CLERK_ISSUER": issuer.url}))
        async with in_process(app) as service:
            yield Chat(service.client, issuer.token(mine)), mine, Chat(service.client, issuer.token(theirs)), theirs


async def test_a_session_token_reaches_its_own_users_data(two_people: tuple[Chat, Person, Chat, Person]) -> None:
    """On every route, from the first session on."""
    chat, person, *_ = two_people
    session = (await chat.open(person)).json()
    said = (await chat.say(session, "user", "a")).json()

    statuses = [
        (await chat.get(f"/users/{person.clerk_id}")).status_code,
        (await chat.get(f"/users/{person.clerk_id}/sessions")).status_code,
        (await chat.post(f"/users/{person.clerk_id}/sessions/search", {"q": "a"})).status_code,
        (await chat.get(f"/users/{person.clerk_id}/stats")).status_code,
        (await chat.put(f"/users/{person.clerk_id}/preferences", {"a": 1})).status_code,
        (await chat.get(f"/sessions/{session['id']}/messages")).status_code,
        (await chat.patch(f"/sessions/{session['id']}", {"title": "b"})).status_code,
        (await chat.delete(f"/sessions/{session['id']}/messages/{said['id']}")).status_code,
        (await chat.delete(f"/sessions/{session['id']}")).status_code,
    ]

    assert statuses == [200] * 7 + [204, 204]


async def test_a_session_token_reaches_no_data_of_another_user(
    two_people: tuple[Chat, Person, Chat, Person], database: Database
) -> None:
    """404 on every route, with the answer for a thing that does not exist; nothing changes."""
    chat, person, other, _ = two_people
    session = (await chat.open(person)).json()
    said = (await chat.say(session, "user", "a")).json()
    one, many = f"/sessions/{session['id']}", f"/users/{person.clerk_id}"
    before = database.execute("SELECT * FROM sessions NATURAL FULL JOIN preferences").fetchall()

    answers = [
        await other.get(one),
        await other.patch(one, {"title": "b"}),
        await other.delete(one),
        await other.get(one + "/messages"),
        await other.say(session, "user", "b"),
        await other.post(one + "/messages/batch", {"messages": [{"role": "user", "content": "b"}]}),
        await other.delete(f"{one}/messages/{said['id']}"),
        await other.get(many),
        await other.get(many + "/sessions"),
        await other.post(many + "/sessions/search", {"q": "a"}),
        await other.post(many + "/sessions", {}),
        await other.get(many + "/stats"),
        await other.get(many + "/preferences"),
        await other.put(many + "/preferences", {"a": 1}),
        await other.patch(many + "/preferences", {"a": 1}),
    ]

    assert {(answer.status_code, answer.json()["detail"]) for answer in answers} == {(404, "There is nothing here.")}
    assert database.execute("SELECT * FROM sessions NATURAL FULL JOIN preferences").fetchall() == before
    assert await history(chat, session) == ["a"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/users/user_a/sessions"), ("POST", "/users/user_a/sessions"), ("GET", f"/sessions/{UNKNOWN}"),
     ("DELETE", f"/sessions/{UNKNOWN}"), ("POST", f"/sessions/{UNKNOWN}/messages"), ("GET", "/users/user_a/stats"),
     ("PUT", "/users/user_a/preferences")],
)  # fmt: skip
async def test_a_request_without_a_token_is_401(service: Service, method: str, path: str) -> None:
    """With a challenge; an unknown method is 405 with the methods of the path."""
    answer = await service.client.request(method, path)
    wrong = await service.client.request("TRACE", path)

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert (wrong.status_code, method in wrong.headers["allow"]) == (405, True)


@pytest.mark.parametrize("value", [1, 2, 10])
async def test_messages_keep_their_order_where_the_sequence_lags(
    value: int, chat: Chat, session: dict[str, Any], database: Database
) -> None:
    """As after logical replication, a switch between two servers, or a copy of the rows alone. Writers at once too."""
    for number in range(3):
        await chat.say(session, "user", f"old {number}")
    database.execute("SELECT setval(pg_get_serial_sequence('messages', 'position'), %s)", [value])

    batch = [{"role": "user", "content": f"batch {number}"} for number in range(3)]
    answers = await asyncio.gather(
        *(chat.say(session, "user", f"new {number}") for number in range(4)),
        chat.post(f"/sessions/{session['id']}/messages/batch", {"messages": batch}),
        chat.say(session, "user", "long " + "x" * 30_000),
    )
    last = await chat.say(session, "user", "last")

    assert [answer.status_code for answer in (*answers, last)] == [201] * 7
    said = await history(chat, session)
    assert (said[:3], said[-1]) == (["old 0", "old 1", "old 2"], "last")
    assert [content for content in said if content.startswith("batch")] == ["batch 0", "batch 1", "batch 2"]
    assert len(said) == 12


@pytest.mark.ways("direct", "pooled")
async def test_two_processes_keep_the_order_where_the_sequence_lags(
    variables: dict[str, str], chat: Chat, session: dict[str, Any], database: Database
) -> None:
    """The one that has seen the last position too early tries again."""
    await chat.say(session, "user", "old")
    database.execute("SELECT setval(pg_get_serial_sequence('messages', 'position'), 1)")
    async with in_process(create_app(settings_of(variables))) as other_process:
        other = Chat(other_process.client)
        for number in range(15):
            await asyncio.gather(chat.say(session, "user", f"a{number}"), other.say(session, "user", f"b{number}"))

    said = await history(chat, session, limit=100)
    assert len(said) == 31
    assert [content[1:] for content in said[1:]] == [str(number) for number in range(15) for _ in range(2)]
