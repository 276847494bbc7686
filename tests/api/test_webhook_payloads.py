"""Signed bodies without effect: unusable events, and events that are ignored."""

import json
from typing import Any

import psycopg
import pytest
from starlette.types import ASGIApp

from tests.support import asgi
from tests.support.asgi import Log, ask
from tests.support.factories import Person, event, user_created, user_data, user_updated
from tests.support.service import Service

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]


def named(clerk_id: Any) -> bytes:
    """A user.created event with this id."""
    return event("user.created", user_data(Person()) | {"id": clerk_id})


def session(data: Any) -> bytes:
    return event("session.created", data)


PLAIN = b'{"type": "user.created", "data": {"id": "user_a", "x": %s}}'
UNUSABLE = {
    "empty": (b"", "json"),
    "null": (b"null", "json"),
    "array": (b"[]", "json"),
    "string": (b'"x"', "json"),
    "number": (b"1", "json"),
    "not JSON": (b"canary", "json"),
    "text behind": (PLAIN % b"1" + b"canary", "json"),
    "two documents": (PLAIN % b"1" * 2, "json"),
    "cut short": ((PLAIN % b"1")[:-1], "json"),
    "a comment": (PLAIN % b"1 /* canary */", "json"),
    "UTF-16": ((PLAIN % b"1").decode().encode("utf-16"), "json"),
    "UTF-16 without a mark": ((PLAIN % b"1").decode().encode("utf-16-le"), "json"),
    "UTF-32": ((PLAIN % b"1").decode().encode("utf-32"), "json"),
    "byte order mark": (b"\xef\xbb\xbf" + PLAIN % b"1", "json"),
    "latin-1": (PLAIN % b'"\xe9"', "json"),
    "overlong UTF-8": (PLAIN % b'"\xc0\xaf"', "json"),
    "a surrogate in bytes": (PLAIN % b'"\xed\xa0\x80"', "json"),
    "half a surrogate pair in the id": (named("user_\ud800"), "clerk_id"),
    "NUL in the id": (named("user_a\0"), "clerk_id"),
    "100,000 deep": (PLAIN % (b"[" * 100_000 + b"]" * 100_000), "json"),
    "20,000 objects deep": (PLAIN % (b'{"a":' * 20_000 + b"1" + b"}" * 20_000), "json"),
    "NaN": (PLAIN % b"NaN", "json"),
    "Infinity": (PLAIN % b"Infinity", "json"),
    "-Infinity": (PLAIN % b"-Infinity", "json"),
    "an id twice": (b'{"type": "user.deleted", "data": {"id": "user_a", "id": "user_b"}}', "clerk_id"),
    "data twice": (b'{"type": "user.deleted", "data": {"id": "user_a"}, "data": {"id": "user_b"}}', "data"),
    "a type twice": (b'{"type": "user.deleted", "type": "user.created", "data": {"id": "user_a"}}', "type"),
    "no type": (b'{"data": {"id": "user_a"}}', "type"),
    "empty type": (event("", {}), "type"),
    "type null": (b'{"type": null}', "type"),
    "type a number": (b'{"type": 1}', "type"),
    "type a list": (b'{"type": ["user.created"]}', "type"),
    "no data": (b'{"type": "user.created"}', "data"),
    "data null": (event("user.created", None), "data"),
    "data a list": (event("user.updated", [user_data(Person())]), "data"),
    "data a string": (event("user.deleted", "user_a"), "data"),
    "no id": (event("user.created", {"object": "user"}), "clerk_id"),
    "empty id": (named(""), "clerk_id"),
    "id a number": (named(7), "clerk_id"),
    "id a list": (named(["user_a"]), "clerk_id"),
    "id null": (named(None), "clerk_id"),
    "id true": (named(True), "clerk_id"),  # noqa: FBT003  # The value is the case.
    "path": (named("user_../../canary"), "clerk_id"),
    "blank": (named("user_a b"), "clerk_id"),
    "markup": (named("user_<b>"), "clerk_id"),
    "an organisation": (named("org_x"), "clerk_id"),
    "300 characters": (named("user_" + "x" * 295), "clerk_id"),
    "65 characters": (named("user_" + "x" * 65), "clerk_id"),
    "nothing behind it": (named("user_"), "clerk_id"),
    "line end behind it": (named("user_a\n"), "clerk_id"),
    "a letter of another script": (named("user_а"), "clerk_id"),  # Cyrillic.
    "a digit of another script": (named("user_٣"), "clerk_id"),
    "session: no data": (session(None), "data"),
    "session: user a string": (session({"id": "sess_1", "user": "user_a"}), "data"),
    "session: user false": (session({"id": "sess_1", "user": False}), "data"),
    "session: user without an id": (session({"id": "sess_1", "user": {}}), "clerk_id"),
    "session: its own id for the user's": (session({"id": "sess_1", "user": {"id": "sess_1"}}), "clerk_id"),
}


@pytest.mark.parametrize(("body", "reason"), UNUSABLE.values(), ids=UNUSABLE.keys())
async def test_an_unusable_event_is_422(app: ASGIApp, log: Log, body: bytes, reason: str) -> None:
    """It is signed, so Clerk or this service has to fix it: no 400, no 500, and no look at the database."""
    answer = await ask(app, asgi.delivery(body), body)

    asgi.assert_refused(answer, log.line(), 422, reason)
    assert answer.header(b"webhook-delivery") is None


PLACES: dict[str, tuple[bytes, str, str]] = {
    "a malformed id": (named("bad"), "#/data/id", "is not user_"),
    "no id": (event("user.updated", {}), "#/data/id", "is not user_"),
    "of a deletion": (event("user.deleted", {"id": 7}), "#/data/id", "is not user_"),
    "no data": (b'{"type": "user.created"}', "#/data", "must be an object"),
    "data a number": (event("user.deleted", 5), "#/data", "must be an object"),
    "session: data a list": (session([]), "#/data", "must be an object"),
    "session: user a number": (session({"user": 5}), "#/data/user", "must be an object"),
    "session: user without an id": (session({"user": {}}), "#/data/user/id", "is not user_"),
    "session: another's id": (session({"user": {"id": "sess_1"}}), "#/data/user/id", "is not user_"),
    "no type": (b"{}", "#/type", "has no type"),
}


@pytest.mark.parametrize(("body", "pointer", "words"), PLACES.values(), ids=PLACES.keys())
async def test_an_unusable_event_says_where(app: ASGIApp, body: bytes, pointer: str, words: str) -> None:
    answer = await ask(app, asgi.delivery(body), body)

    (fault,) = answer.told()["errors"]
    assert fault["pointer"] == pointer
    assert words in fault["detail"]


IGNORED: dict[str, bytes] = {
    "of Clerk": event("organization.created", {"id": "org_1"}),
    "invented": event("user.invented", user_data(Person())),
    "data a list": event("organization.created", []),
    "no data": b'{"type": "role.updated"}',
    "a user's type in capitals": event("USER.CREATED", user_data(Person())),
    "a blank behind": event("user.created ", user_data(Person())),
    "codes in it": event("sms.created", {"otp_code": "canary"}),
    "a session without a user": session({"id": "sess_1", "user_id": "user_a"}),
    "a session whose user is null": session({"id": "sess_1", "user": None}),
}


@pytest.mark.parametrize("body", IGNORED.values(), ids=IGNORED.keys())
async def test_an_event_without_effect_is_ignored(app: ASGIApp, log: Log, body: bytes) -> None:
    """200, or Svix would deliver it again for a day; its data is not validated."""
    answer = await ask(app, asgi.delivery(body), body)

    assert (answer.status, json.loads(answer.body)) == (200, {"outcome": "ignored"})
    line = log.line()
    assert (line["outcome"], line["type"]) == ("ignored", json.loads(body)["type"])


ENDS = [
    "\r\n",
    "\r",
    "\n",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1d",
    "\x1e",
    "\x85",
    "\u2028",
    "\u2029",
    "\0",
    "\x1b[2J",
    "\ud800",
]


@pytest.mark.parametrize("end", ENDS, ids=ascii)
async def test_an_events_type_cannot_end_a_log_line(app: ASGIApp, log: Log, end: str) -> None:
    """It is the one text of the sender that is logged."""
    body = event(f"x{end}level=error event=forged", {})

    assert (await ask(app, asgi.delivery(body), body)).status == 200

    line = log.line()
    assert (line["event"], line["level"]) == ("webhook", "info")


async def test_a_long_event_type_is_cut_in_the_log(app: ASGIApp, log: Log) -> None:
    """To 200 characters."""
    body = event("x" * 20_000, {})

    assert (await ask(app, asgi.delivery(body), body)).status == 200
    assert len(log.line()["type"]) == 200


DECORATIONS = {
    "a number without end": b"9" * 10_000,
    "a number beyond all others": b"1e999",
    "1,000 arrays deep": b"[" * 1000 + b"]" * 1000,
    "4,000 objects deep": b'{"a":' * 4000 + b"1" + b"}" * 4000,
    "a key twice": b'1, "x": 2',
    "keys twice, deep inside": b'[{"y": {"z": 1, "z": 1, "id": 1, "id": 2}}]',
    "half a surrogate pair": rb'"\ud800"',
}


@pytest.mark.parametrize("decoration", DECORATIONS.values(), ids=DECORATIONS)
async def test_a_user_is_never_lost_to_metadata(service: Service, database: Database, decoration: bytes) -> None:
    """Users write some of it, in their own browsers: the row is made, updated and deleted all the same."""
    person = Person()
    bodies = [
        user_created(person, unsafe_metadata="HERE"),
        user_updated(person, unsafe_metadata="HERE", first_name="Newer", updated_at=1_750_000_000_000),
        event("session.created", {"id": "sess_1", "user": user_data(person, public_metadata="HERE")}),
        event("user.deleted", {"id": person.clerk_id, "deleted": True, "x": "HERE"}),
    ]

    answers = [await service.deliver(body.replace(b'"HERE"', decoration)) for body in bodies]

    assert [answer.json().get("outcome") for answer in answers] == ["created", "updated", "stale", "deleted"]
    assert database.execute("SELECT 1 FROM users WHERE deleted_at IS NULL").fetchall() == []
