"""Good requests, damaged anywhere, in front of the real database and Backboard: refused without a trace, or accepted.

The requests of test_hostile_requests come from nowhere and stop early; these get as far as a request can.
"""

from collections.abc import AsyncIterator, Callable, Sized
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp

from app.application import create_app
from app.postgres.pipeline import Connection
from app.postgres.pool import Pool
from tests.http.test_hostile_requests import REASONS, REFUSALS, header_names, header_values
from tests.support import asgi, factories
from tests.support.asgi import Headers, Log, ask
from tests.support.factories import Person
from tests.support.fuzzing import examples
from tests.support.service import settings_of
from tools.sandbox.backboard import Sandbox

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]


@pytest.fixture
async def app(variables: dict[str, str]) -> AsyncIterator[ASGIApp]:
    app = create_app(settings_of(variables))
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of a pool for each connection that was taken."""
    names: list[str] = []
    take = Pool.acquire

    async def noting(pool: Pool, *seconds: float) -> Connection:
        names.append(pool.name)
        return await take(pool, *seconds)

    monkeypatch.setattr(Pool, "acquire", noting)
    return names


@dataclass(frozen=True)
class Request:
    """A request for a new user, as it is sent."""

    path: str
    body: bytes
    headers: Headers
    method: str = "POST"
    pieces: int = 1


def right(draw: st.DrawFn) -> Request:
    """A sign-up of Clerk's or a question of the chat backend, signed and with its token."""
    person = Person()
    body = b'{"clerk_id": "%s"}' % person.clerk_id.encode()
    path = draw(st.sampled_from(["/webhooks/clerk", "/ensure-user"]))
    if path == "/webhooks/clerk":
        body = factories.user_created(person)
    return Request(path, body, asgi.delivery(body) + asgi.BEARER)


def place_in(what: Sized, draw: st.DrawFn) -> int:
    """Anywhere in it or at its end, since a body is a little longer in one run than in another."""
    return draw(st.integers(0, 10_000)) % (len(what) + 1)


def cut(request: Request, draw: st.DrawFn) -> Request:
    return replace(request, body=request.body[: place_in(request.body, draw)])


def scribble(request: Request, draw: st.DrawFn) -> Request:
    place, more = place_in(request.body, draw), draw(st.binary(min_size=1, max_size=4))
    return replace(request, body=request.body[:place] + more + request.body[place + len(more) :])


def sign_again(request: Request, _: object) -> Request:
    """As if the holder of the secret sent this body."""
    kept = [header for header in request.headers if not header[0].startswith(b"svix-")]
    fresh = [header for header in asgi.delivery(request.body) if header[0].startswith(b"svix-")]
    return replace(request, headers=kept + fresh)


def drop_header(request: Request, draw: st.DrawFn) -> Request:
    gone = place_in(request.headers, draw)
    return replace(request, headers=request.headers[:gone] + request.headers[gone + 1 :])


def repeat_header(request: Request, draw: st.DrawFn) -> Request:
    place = place_in(request.headers, draw)
    return replace(request, headers=request.headers + request.headers[place : place + 1])


def add_header(request: Request, draw: st.DrawFn) -> Request:
    return replace(request, headers=[*request.headers, (draw(header_names), draw(header_values))])


def damage_header(request: Request, draw: st.DrawFn) -> Request:
    if not request.headers:
        return request
    index = place_in(request.headers, draw) % len(request.headers)
    name, value = request.headers[index]
    place, more = place_in(value, draw), draw(st.binary(max_size=2))
    damaged = (name, value[:place] + more + value[place + 1 :])
    return replace(request, headers=[*request.headers[:index], damaged, *request.headers[index + 1 :]])


def change_method(request: Request, draw: st.DrawFn) -> Request:
    return replace(request, method=draw(st.sampled_from(["GET", "HEAD", "PUT", "post", "POST "])))


def change_path(request: Request, draw: st.DrawFn) -> Request:
    return replace(request, path=request.path + draw(st.sampled_from(["/", "\n", ";x", "\0", "%"])))


def break_up(request: Request, draw: st.DrawFn) -> Request:
    return replace(request, pieces=draw(st.integers(2, 6)))


Damage = Callable[[Request, st.DrawFn], Request]
DAMAGES: list[Damage] = [
    *(cut, scribble, scribble, sign_again, sign_again, drop_header, repeat_header, add_header, damage_header),
    *(change_method, change_path, break_up),
]


@st.composite
def damaged_requests(draw: st.DrawFn) -> Request:
    """Right at first, and then damaged once or more."""
    request = right(draw)
    for damage in draw(st.lists(st.sampled_from(DAMAGES), min_size=1, max_size=4)):
        request = damage(request, draw)
    return request


@examples(150)
@given(damaged=damaged_requests())
async def test_damaged_request_is_refused_without_a_trace_or_accepted(
    app: ASGIApp,
    log: Log,
    database: Database,
    backboard: Sandbox,
    taken: list[str],
    damaged: Request,
) -> None:
    """Never a 500, never half of it: a refusal leaves no row, no attempt, no connection and no call, and one line."""

    def traces() -> tuple[Any, ...]:
        counts = "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM provisioning_attempts)"
        return (*database.execute(counts).fetchall(), len(backboard.calls()), len(taken))

    before = traces()
    step = len(damaged.body) // damaged.pieces + 1
    pieces = [damaged.body[place : place + step] for place in range(0, len(damaged.body), step)]

    answer = await ask(app, damaged.headers, *pieces, method=damaged.method, path=damaged.path)

    # A line without a status is about the process: on a busy machine, a pool that waits for a connection.
    (line,) = [line for line in log.lines() if "status" in line]
    if answer.status in {200, 201}:
        assert (line["status"], "reason" in line) == (answer.status, False)
    else:
        assert answer.status in REFUSALS
        asgi.assert_refused(answer, line, answer.status, sorted(REASONS))
        assert traces() == before
