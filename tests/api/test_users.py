"""POST /ensure-user: who is let in, what is a request for a user, and what is answered while a partner is away."""

import json
import time
from typing import Any

import psycopg
import pytest
from starlette.types import ASGIApp

from tests.support import asgi, factories
from tests.support.asgi import BEARER, HOST, JSON, Answer, Headers, Log, ask
from tests.support.factories import Person
from tests.support.service import Service
from tools.sandbox.backboard import Sandbox

pytestmark = pytest.mark.anyio

PATH = "/ensure-user"
TOKEN = factories.TOKEN.encode()
BODY = b'{"clerk_id": "user_a"}'


async def ensure(app: ASGIApp, *pieces: bytes, token: Headers = BEARER, **how: Any) -> Answer:
    return await ask(app, HOST + JSON + token, *pieces, path=PATH, **how)


def authorized(*values: bytes) -> Headers:
    return [(b"authorization", value) for value in values]


STRANGERS: dict[str, Headers] = {
    "missing": [],
    "empty": authorized(b""),
    "twice, the right one first": authorized(b"Bearer " + TOKEN, b"Bearer canary"),
    "twice, the right one last": authorized(b"Bearer canary", b"Bearer " + TOKEN),
    "twice the right one": authorized(b"Bearer " + TOKEN) * 2,
    "Basic": authorized(b"Basic Y2FuYXJ5"),
    "Basic with the token": authorized(b"Basic " + TOKEN),
    "the token alone": authorized(TOKEN),
    "Bearer alone": authorized(b"Bearer"),
    "Bearer and a blank": authorized(b"Bearer "),
    "a wrong token": authorized(b"Bearer canary-of-somebody-else"),
    "its beginning": authorized(b"Bearer " + TOKEN[:-1]),
    "more behind it": authorized(b"Bearer " + TOKEN + b"x"),
    "both tokens": authorized(b"Bearer " + TOKEN + b"," + factories.OTHER_TOKEN.encode()),
    "both tokens, a blank between": authorized(b"Bearer " + TOKEN + b" " + factories.OTHER_TOKEN.encode()),
    "a tab between": authorized(b"Bearer\t" + TOKEN),
    "a blank before": authorized(b" Bearer " + TOKEN),
    "a colon": authorized(b"Bearer: " + TOKEN),
    "quoted": authorized(b'Bearer "' + TOKEN + b'"'),
    "not ASCII": authorized(b"Bearer \xe9\xff" + TOKEN),
    "NUL behind": authorized(b"Bearer " + TOKEN + b"\0"),
    "in another header": [(b"x-authorization", b"Bearer " + TOKEN)],
}


@pytest.mark.parametrize("token", STRANGERS.values(), ids=STRANGERS.keys())
async def test_a_stranger_is_challenged(app: ASGIApp, log: Log, token: Headers) -> None:
    """401 before a byte of the body is read, in the same words for everybody."""
    answer = await ensure(app, BODY, token=token)

    asgi.assert_refused(answer, log.line(), 401, "token")
    assert (answer.header(b"www-authenticate"), answer.header(b"connection")) == (b"Bearer", b"close")
    assert answer.pieces_read == 0
    assert answer.body == (await ensure(app, BODY, token=[])).body


async def test_a_token_counts_in_its_header_only(app: ASGIApp, log: Log) -> None:
    """Not in the query, where proxies would log it, and not in the body."""
    body = json.dumps({"clerk_id": "user_a", "token": factories.TOKEN}).encode()

    answer = await ensure(app, body, token=[], query=b"access_token=" + TOKEN)

    asgi.assert_refused(answer, log.line(), 401, "token")


@pytest.mark.parametrize("set_to", ["", " ", ",", " , "], ids=repr)
@pytest.mark.parametrize("value", [None, b"", b"Bearer", b"Bearer ", b"Bearer ,", b"Bearer " + TOKEN], ids=str)
async def test_without_a_token_set_everybody_is_a_stranger(log: Log, set_to: str, value: bytes | None) -> None:
    """Never open because somebody forgot, nor because a list was left empty."""
    closed = asgi.stranded_app(SERVICE_TOKENS=set_to)

    answer = await ensure(closed, BODY, token=[] if value is None else authorized(value))

    asgi.assert_refused(answer, log.line(), 401, "token")


@pytest.mark.parametrize("word", [b"Bearer ", b"bearer ", b"BEARER ", b"Bearer    "])
@pytest.mark.parametrize("token", [factories.TOKEN, factories.OTHER_TOKEN], ids=["first", "second"])
async def test_either_token_is_let_in(app: ASGIApp, log: Log, word: bytes, token: str) -> None:
    """The scheme knows no case, and two tokens stand during a rotation."""
    answer = await ensure(app, BODY, token=authorized(word + token.encode()))

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
    "half a pair in the id": (b'{"clerk_id": "user_\\ud800"}', "clerk_id"),
    "NUL in the id": (b'{"clerk_id": "user_a\\u0000"}', "clerk_id"),
    "100,000 deep": (b'{"clerk_id": "user_a", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "json"),
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
async def test_what_is_no_request_for_a_user_is_422(app: ASGIApp, log: Log, body: bytes, reason: str) -> None:
    """Nothing is looked up for it, and nothing of it is quoted."""
    asgi.assert_refused(await ensure(app, body), log.line(), 422, reason)


@pytest.mark.parametrize(
    "more",
    [{}, {"email": None, "name": None}, {"email": "", "name": "\0"}, {"name": "\ud800"}, {"email": "x" * 500},
     {"role": "admin", "deleted_at": 1, "assistant_id": "x", "__proto__": {}, "\ud800": "\ud800"}],
    ids=["nothing", "null", "blank", "half a pair", "too long", "members that nobody asked for"],
)  # fmt: skip
async def test_what_stands_beside_the_id_is_not_judged(app: ASGIApp, log: Log, more: dict[str, Any]) -> None:
    """What is unusable counts as absent; the request goes on to the database, which is not there."""
    answer = await ensure(app, json.dumps({"clerk_id": "user_" + "x" * 64} | more).encode())

    assert (answer.status, log.line()["reason"]) == (503, "database_down")


async def test_what_the_caller_adds_reaches_no_column(service: Service, database: psycopg.Connection[Any]) -> None:
    """Only the e-mail and the name are taken, and Backboard alone says which assistant it is."""
    person = Person()

    answer = await service.ensure(
        person, id="canary", assistant_id="canary", created_at="canary", deleted_at="2026-01-01"
    )

    assert answer.status_code == 201
    (row,) = database.execute("SELECT id::text, assistant_id, deleted_at FROM users").fetchall()
    assert "canary" not in str(row)
    assert row["deleted_at"] is None


async def test_a_deleted_user_is_410(service: Service, database: psycopg.Connection[Any], log: Log) -> None:
    """With the body of every refusal, and nothing made."""
    person = Person()
    database.execute("INSERT INTO deleted_users (clerk_id) VALUES (%s)", [person.clerk_id])

    answer = await service.ensure(person)

    raw = [(name.lower(), value) for name, value in answer.headers.raw]
    line = log.line()
    asgi.assert_refused(Answer(answer.status_code, raw, answer.content), line, 410, "deleted")
    assert (line["outcome"], line["clerk_id"]) == ("gone", person.clerk_id)


async def test_the_line_of_a_user_made_says_who_and_nothing_personal(
    service: Service, backboard: Sandbox, log: Log
) -> None:
    """Ids, times and the outcome; no address, no name, no token."""
    person = Person()

    await service.ensure(person, email=person.email, name="Canaryname")

    line = log.line()
    assert (line["event"], line["outcome"], line["status"]) == ("ensure_user", "created", 201)
    assert (line["clerk_id"], line["assistant_id"]) == (person.clerk_id, backboard.alive()[0].id)
    assert (line["attempt"], set(line) >= {"db_ms", "backboard_ms", "duration_ms", "request_id"}) == (1, True)
    assert "canary" not in json.dumps(line).lower()


async def test_with_backboard_down_only_new_users_are_sent_away(service: Service, backboard: Sandbox) -> None:
    """Who has a row is answered; who has none is told in the right words, and soon at once."""
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


async def test_an_assistant_that_is_gone_is_not_asked_for(service: Service, backboard: Sandbox) -> None:
    """The row is answered without a call; reconcile is who finds out."""
    person = Person()
    made = await service.ensure(person)
    backboard.delete_assistant(made.json()["assistant_id"])
    asked = len(backboard.calls())

    answer = await service.ensure(person)

    assert (answer.status_code, answer.json()) == (200, made.json())
    assert len(backboard.calls()) == asked
