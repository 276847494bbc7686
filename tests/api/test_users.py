"""POST /ensure-user and GET /users/{clerk_id}: tokens, bodies, and the answer while Backboard is down."""

import json
import time
from typing import Any

import psycopg
import pytest
from starlette.types import ASGIApp

from tests.support import asgi, factories
from tests.support.asgi import BEARER, HOST, JSON, Answer, Headers, Log, ask
from tests.support.factories import Person, user_created
from tests.support.service import Chat, Service
from tools.sandbox.backboard import Sandbox

pytestmark = pytest.mark.anyio

PATH = "/ensure-user"
TOKEN = factories.TOKEN.encode()
BODY = b'{"clerk_id": "user_a"}'


async def ensure(app: ASGIApp, *pieces: bytes, token: Headers = BEARER, **how: Any) -> Answer:
    return await ask(app, HOST + JSON + token, *pieces, path=PATH, **how)


def authorization(*values: bytes) -> Headers:
    return [(b"authorization", value) for value in values]


FAULTY_TOKENS: dict[str, Headers] = {
    "missing": [],
    "empty": authorization(b""),
    "twice, the right one first": authorization(b"Bearer " + TOKEN, b"Bearer canary"),
    "twice, the right one last": authorization(b"Bearer canary", b"Bearer " + TOKEN),
    "twice the right one": authorization(b"Bearer " + TOKEN) * 2,
    "Basic": authorization(b"Basic Y2FuYXJ5"),
    "Basic with the token": authorization(b"Basic " + TOKEN),
    "the token alone": authorization(TOKEN),
    "Bearer alone": authorization(b"Bearer"),
    "Bearer and a blank": authorization(b"Bearer "),
    "a wrong token": authorization(b"Bearer canary-of-another"),
    "its beginning": authorization(b"Bearer " + TOKEN[:-1]),
    "more behind it": authorization(b"Bearer " + TOKEN + b"x"),
    "both tokens": authorization(b"Bearer " + TOKEN + b"," + factories.OTHER_TOKEN.encode()),
    "both tokens, a blank between": authorization(b"Bearer " + TOKEN + b" " + factories.OTHER_TOKEN.encode()),
    "a tab between": authorization(b"Bearer\t" + TOKEN),
    "a blank before": authorization(b" Bearer " + TOKEN),
    "a colon": authorization(b"Bearer: " + TOKEN),
    "quoted": authorization(b'Bearer "' + TOKEN + b'"'),
    "not ASCII": authorization(b"Bearer \xe9\xff" + TOKEN),
    "NUL behind": authorization(b"Bearer " + TOKEN + b"\0"),
    "in another header": [(b"x-authorization", b"Bearer " + TOKEN)],
}


@pytest.mark.parametrize("token", FAULTY_TOKENS.values(), ids=FAULTY_TOKENS.keys())
async def test_a_missing_or_wrong_token_is_401(app: ASGIApp, log: Log, token: Headers) -> None:
    """Before a byte of the body is read, with one answer for all faults."""
    answer = await ensure(app, BODY, token=token)

    asgi.assert_refused(answer, log.line(), 401, "token")
    assert (answer.header(b"www-authenticate"), answer.header(b"connection")) == (b"Bearer", b"close")
    assert answer.pieces_read == 0
    assert answer.told() == (await ensure(app, BODY, token=[])).told()


async def test_a_token_is_taken_from_its_header_only(app: ASGIApp, log: Log) -> None:
    """Not from the query, which proxies log, and not from the body."""
    body = json.dumps({"clerk_id": "user_a", "token": factories.TOKEN}).encode()

    answer = await ensure(app, body, token=[], query=b"access_token=" + TOKEN)

    asgi.assert_refused(answer, log.line(), 401, "token")


@pytest.mark.parametrize("set_to", ["", " ", ",", " , "], ids=repr)
@pytest.mark.parametrize("value", [None, b"", b"Bearer", b"Bearer ", b"Bearer ,", b"Bearer " + TOKEN], ids=str)
async def test_without_service_tokens_every_request_is_401(log: Log, set_to: str, value: bytes | None) -> None:
    """A forgotten variable or an empty list opens nothing."""
    closed = asgi.stranded_app(SERVICE_TOKENS=set_to)

    answer = await ensure(closed, BODY, token=[] if value is None else authorization(value))

    asgi.assert_refused(answer, log.line(), 401, "token")


@pytest.mark.parametrize("word", [b"Bearer ", b"bearer ", b"BEARER ", b"Bearer    "])
@pytest.mark.parametrize("token", [factories.TOKEN, factories.OTHER_TOKEN], ids=["first", "second"])
async def test_every_service_token_is_accepted(app: ASGIApp, log: Log, word: bytes, token: str) -> None:
    """There are two during a rotation; the scheme ignores case."""
    answer = await ensure(app, BODY, token=authorization(word + token.encode()))

    assert (answer.status, log.line()["reason"]) == (503, "database_down")


UNUSABLE = {
    "empty": (b"", "json"),
    "null": (b"null", "json"),
    "array": (b"[]", "json"),
    "string": (b'"user_a"', "json"),
    "number": (b"1", "json"),
    "not JSON": (b"clerk_id=user_canary", "json"),
    "text behind": (BODY + b"x", "json"),
    "UTF-16": (BODY.decode().encode("utf-16"), "json"),
    "UTF-32": (BODY.decode().encode("utf-32"), "json"),
    "not UTF-8": (b'{"clerk_id": "user_a", "name": "\xff"}', "json"),
    "half a surrogate pair in the id": (b'{"clerk_id": "user_\\ud800"}', "clerk_id"),
    "NUL in the id": (b'{"clerk_id": "user_a\\u0000"}', "clerk_id"),
    "100,000 deep": (b'{"clerk_id": "user_a", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_many_values"),
    "40,000 deep": (b'{"clerk_id": "user_a", "x": ' + b"[" * 40_000 + b"]" * 40_000 + b"}", "json"),
    "NaN": (b'{"clerk_id": "user_a", "x": NaN}', "json"),
    "a key twice": (b'{"clerk_id": "user_a", "clerk_id": "user_a"}', "json"),
    "no id": (b'{"email": "canary@example.com"}', "clerk_id"),
    "another spelling": (b'{"clerkId": "user_a"}', "clerk_id"),
    "id null": (b'{"clerk_id": null}', "clerk_id"),
    "id a number": (b'{"clerk_id": 7}', "clerk_id"),
    "id a list": (b'{"clerk_id": ["user_a"]}', "clerk_id"),
    "id an object": (b'{"clerk_id": {"$ne": ""}}', "clerk_id"),
    "id empty": (b'{"clerk_id": ""}', "clerk_id"),
    "nothing behind it": (b'{"clerk_id": "user_"}', "clerk_id"),
    "path": (b'{"clerk_id": "user_../../canary"}', "clerk_id"),
    "blank": (b'{"clerk_id": "user_a b"}', "clerk_id"),
    "blank before": (b'{"clerk_id": " user_a"}', "clerk_id"),
    "line end behind": (b'{"clerk_id": "user_a\\n"}', "clerk_id"),
    "markup": (b'{"clerk_id": "user_<b>"}', "clerk_id"),
    "an organisation": (b'{"clerk_id": "org_a"}', "clerk_id"),
    "65 characters": (b'{"clerk_id": "user_%s"}' % (b"x" * 65), "clerk_id"),
    "300 characters": (b'{"clerk_id": "user_%s"}' % (b"x" * 295), "clerk_id"),
    "a digit of another script": ('{"clerk_id": "user_٣"}'.encode(), "clerk_id"),
    "email a number": (b'{"clerk_id": "user_a", "email": 7}', "shape"),
    "email a list": (b'{"clerk_id": "user_a", "email": ["canary@example.com"]}', "shape"),
    "name an object": (b'{"clerk_id": "user_a", "name": {"first": "canary"}}', "shape"),
    "name true": (b'{"clerk_id": "user_a", "name": true}', "shape"),
}


@pytest.mark.parametrize(("body", "reason"), UNUSABLE.values(), ids=UNUSABLE.keys())
async def test_an_invalid_body_is_422(app: ASGIApp, log: Log, body: bytes, reason: str) -> None:
    """Without a look at the database; nothing of the body is quoted."""
    asgi.assert_refused(await ensure(app, body), log.line(), 422, reason)


@pytest.mark.parametrize(
    "more",
    [{}, {"email": None, "name": None}, {"email": "", "name": "\0"}, {"name": "\ud800"}, {"email": "x" * 500},
     {"role": "admin", "deleted_at": 1, "assistant_id": "x", "__proto__": {}, "\ud800": "\ud800"}],
    ids=["nothing", "null", "blank", "half a surrogate pair", "too long", "unknown members"],
)  # fmt: skip
async def test_unusable_optional_members_count_as_absent(app: ASGIApp, log: Log, more: dict[str, Any]) -> None:
    """The request goes on to the database, which is down here."""
    answer = await ensure(app, json.dumps({"clerk_id": "user_" + "x" * 64} | more).encode())

    assert (answer.status, log.line()["reason"]) == (503, "database_down")


async def test_unknown_members_reach_no_column(service: Service, database: psycopg.Connection[Any]) -> None:
    """Only e-mail and name are taken from the caller; the assistant is Backboard's."""
    person = Person()

    answer = await service.ensure(
        person, id="canary", assistant_id="canary", created_at="canary", deleted_at="2026-01-01"
    )

    assert answer.status_code == 201
    (row,) = database.execute("SELECT id::text, assistant_id, deleted_at FROM users").fetchall()
    assert "canary" not in str(row)
    assert row["deleted_at"] is None


async def test_a_deleted_user_is_410(service: Service, database: psycopg.Connection[Any], log: Log) -> None:
    """As a problem document; nothing is made."""
    person = Person()
    database.execute("INSERT INTO deleted_users (clerk_id) VALUES (%s)", [person.clerk_id])

    answer = await service.ensure(person)

    raw = [(name.lower(), value) for name, value in answer.headers.raw]
    line = log.line()
    asgi.assert_refused(Answer(answer.status_code, raw, answer.content), line, 410, "deleted")
    assert (line["outcome"], line["clerk_id"]) == ("gone", person.clerk_id)


async def test_the_log_line_of_a_new_user_has_ids_and_nothing_personal(
    service: Service, backboard: Sandbox, log: Log
) -> None:
    """Ids, times and the outcome; no address, name or token."""
    person = Person()

    await service.ensure(person, email=person.email, name="Canaryname")

    line = log.line()
    assert (line["event"], line["outcome"], line["status"]) == ("ensure_user", "created", 201)
    assert (line["clerk_id"], line["assistant_id"]) == (person.clerk_id, backboard.alive()[0].id)
    assert (line["attempt"], set(line) >= {"db_ms", "backboard_ms", "duration_ms", "request_id"}) == (1, True)
    assert "canary" not in json.dumps(line).lower()


async def test_with_backboard_down_only_new_users_get_503(service: Service, backboard: Sandbox) -> None:
    """A user with a row is answered. The others are refused at once when the circuit breaker has opened."""
    known = Person()
    await service.ensure(known)
    times = []
    with backboard.refuse_connections():
        for _ in range(10):
            started = time.perf_counter()
            refused = await service.ensure(Person())
            times.append(time.perf_counter() - started)
            assert (refused.status_code, refused.json()["title"]) == (503, "Service initialization failed")
            assert 1 <= int(refused.headers["retry-after"]) <= 30
        answer = await service.ensure(known)

    assert answer.status_code == 200
    assert min(times[5:]) < 0.01


async def test_a_user_is_read_as_ensure_user_answers_it(service: Service, backboard: Sandbox, log: Log) -> None:
    """And nothing is made or asked, also while Backboard is down."""
    person, chat = Person(), Chat(service.client)
    await service.deliver(user_created(person))
    ensured, asked = await service.ensure(person), len(backboard.calls())
    log.lines()

    with backboard.refuse_connections():
        read = await chat.get(f"/users/{person.clerk_id}")

    line = log.line()
    assert (read.status_code, read.content) == (200, ensured.content)
    assert (line["event"], line["clerk_id"]) == ("get_user", person.clerk_id)
    assert line["assistant_id"] == ensured.json()["assistant_id"]
    assert "canary" not in json.dumps(line).lower()
    assert len(backboard.calls()) == asked


async def test_a_user_who_is_unknown_or_deleted_is_not_made_by_a_read(
    service: Service, database: psycopg.Connection[Any], backboard: Sandbox
) -> None:
    """404 and 410; a malformed id is 422, and another method 405."""
    deleted, chat = Person(), Chat(service.client)
    database.execute("INSERT INTO deleted_users (clerk_id) VALUES (%s)", [deleted.clerk_id])

    answers = [await chat.get(f"/users/{one}") for one in (Person().clerk_id, deleted.clerk_id, "user_a%20b", "me")]
    answers.append(await chat.delete(f"/users/{deleted.clerk_id}"))

    assert [answer.status_code for answer in answers] == [404, 410, 422, 422, 405]
    assert (backboard.calls(), database.execute("SELECT * FROM users").fetchall()) == ([], [])


async def test_an_existing_user_costs_no_call_to_backboard(service: Service, backboard: Sandbox) -> None:
    """Even if the assistant is gone: `reconcile` finds that out."""
    person = Person()
    made = await service.ensure(person)
    backboard.delete_assistant(made.json()["assistant_id"])
    asked = len(backboard.calls())

    answer = await service.ensure(person)

    assert (answer.status_code, answer.json()) == (200, made.json())
    assert len(backboard.calls()) == asked
