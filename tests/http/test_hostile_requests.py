"""Random requests: a stranger's are refused in one of a few ways, and no signed event is a bug."""

import json
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp

from tests.support import asgi
from tests.support.asgi import Headers, Log, ask
from tests.support.factories import Person, event, user_data
from tests.support.fuzzing import examples

pytestmark = pytest.mark.anyio

random_requests = examples(150)

REFUSALS = {400, 401, 404, 405, 408, 413, 415, 422, 431}
REASONS = {
    *("host", "head_too_large", "path", "method", "token", "content_type", "too_large", "body_timeout"),
    *("headers", "stale", "signature", "json", "type", "data", "clerk_id", "shape"),
}


SIGNATURE_HEADERS = [
    f"{family}-{name}".encode() for family in ("svix", "webhook") for name in ("id", "timestamp", "signature")
]
header_names = st.one_of(
    st.sampled_from([*SIGNATURE_HEADERS, b"authorization", b"content-type", b"content-encoding", b"content-length",
                     b"host", b"upgrade", b"x-request-id", b"x-forwarded-for", b"cookie"]),
    st.from_regex(rb"[a-z][a-z0-9-]{0,20}", fullmatch=True),
)  # fmt: skip
header_values = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"", b"application/json", b"Bearer canary", b"v1,canary", b"1795000000", b"msg_1", b"0", b"9" * 30]
    ),
    st.just(b"canary" * 7000),
)
headers = st.lists(st.tuples(header_names, header_values), max_size=12)
# Headers that let a request get further than its first mistake.
likely = st.sampled_from([[], asgi.HOST, asgi.HOST + asgi.JSON, asgi.HOST + asgi.JSON + asgi.BEARER])
paths = st.one_of(
    st.sampled_from(["/webhooks/clerk", "/ensure-user"]),
    st.sampled_from(["/webhooks/clerk/", "//webhooks/clerk", "/", "", "/webhooks/clerk;x", "/\r\nx", "/\udcff"]),
    st.text(max_size=20).map(lambda text: "/x" + text),
)
methods = st.one_of(st.just("POST"), st.sampled_from(["GET", "HEAD", "PUT", "OPTIONS", "TRACE", "FOO", "post", ""]))


@random_requests
@given(
    method=methods,
    path=paths,
    first=likely,
    more=headers,
    pieces=st.lists(st.binary(max_size=200), max_size=4),
    query=st.binary(max_size=20),
)
async def test_stranger_gets_a_refusal_and_leaves_one_line(
    app: ASGIApp, log: Log, method: str, path: str, first: Headers, more: Headers, pieces: list[bytes], query: bytes
) -> None:
    """Never a 500 or a 503: no bug, no connection taken, no call of Backboard; and the answer quotes nothing."""
    answer = await ask(app, first + more, *pieces, method=method, path=path, query=query)

    assert answer.status in REFUSALS
    asgi.assert_refused(answer, log.line(), answer.status, sorted(REASONS))
    assert json.loads(answer.body)["title"] == HTTPStatus(answer.status).phrase


@random_requests
@given(
    first=st.tuples(*[st.tuples(st.just(name), st.binary(max_size=3000)) for name in SIGNATURE_HEADERS[:3]]).map(list),
    body=st.binary(max_size=200),
)
async def test_every_stranger_at_the_webhook_gets_the_same_bytes(
    app: ASGIApp, log: Log, first: Headers, body: bytes
) -> None:
    """The three headers are there, with anything in them: one body for everything that can be wrong."""
    unsigned = await ask(app, asgi.HOST + asgi.JSON, body)
    log.lines()

    answer = await ask(app, asgi.HOST + asgi.JSON + first, body)

    reason = log.line()["reason"]
    assert (answer.status, asgi.without_request_id(answer.body)) == (400, asgi.without_request_id(unsigned.body))
    assert reason in {"headers", "stale", "signature"}


# Half pairs, NUL and line ends are rare among all characters.
characters = st.characters(codec=None, exclude_categories=()) | st.sampled_from(
    "\ud83d\ude00\udc00\0\r\n\x85\u2028\x1b"
)
text = st.lists(characters, max_size=8).map("".join)
finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | finite | text
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=10
)
members = st.sampled_from(["type", "data", "id", "user", "instance_id", "object", "updated_at", "clerk_id", "email"])


@random_requests
@given(body=st.dictionaries(members, documents, max_size=6).map(json.dumps).map(str.encode))
async def test_signed_body_is_never_a_bug(app: ASGIApp, log: Log, body: bytes) -> None:
    """200 if there is nothing to do, 422 if the event cannot be used, and 503 here if it needs the database."""
    answer = await ask(app, asgi.delivery(body), body)

    assert answer.status in {200, 422, 503}
    line = log.line()
    assert (line["status"], line["event"]) == (answer.status, "webhook")


EVENT_TYPES = st.sampled_from(["user.created", "user.updated", "user.deleted", "session.created"])


@random_requests
@given(event_type=EVENT_TYPES, data=documents | st.dictionaries(members, documents, max_size=5))
async def test_event_without_a_clerk_id_is_never_stored(app: ASGIApp, log: Log, event_type: str, data: Any) -> None:
    """Random data names no user: it is refused before the database, or ignored where no user is needed."""
    body = event(event_type, data)

    answer = await ask(app, asgi.delivery(body), body)

    assert answer.status == 422 or (event_type == "session.created" and answer.status == 200)
    assert log.line()["status"] == answer.status


decorations = st.sampled_from(
    ["first_name", "last_name", "username", "email_addresses", "primary_email_address_id", "updated_at",
     "last_sign_in_at", "created_at", "public_metadata", "unsafe_metadata", "object", "__proto__"]
)  # fmt: skip


@random_requests
@given(decoration=st.dictionaries(decorations, documents, max_size=6))
async def test_odd_members_never_cost_a_user_the_row(app: ASGIApp, log: Log, decoration: dict[str, Any]) -> None:
    """With a good id, the event gets as far as the database, with any other members beside it."""
    body = event("user.created", user_data(Person()) | decoration)

    answer = await ask(app, asgi.delivery(body), body)

    assert (answer.status, log.line()["reason"]) == (503, "database_down")


@random_requests
@given(body=st.dictionaries(members, documents, max_size=6), clerk_id=st.none() | text)
async def test_request_that_names_no_user_is_422(
    app: ASGIApp, log: Log, body: dict[str, Any], clerk_id: str | None
) -> None:
    """With a good token and any body: without an exact id the request is refused before any lookup."""
    asked = json.dumps(body | ({} if clerk_id is None else {"clerk_id": "user_" + clerk_id + "\n"})).encode()

    answer = await ask(app, asgi.HOST + asgi.JSON + asgi.BEARER, asked, path="/ensure-user")

    asgi.assert_refused(answer, log.line(), 422, sorted(REASONS))
