"""Limits per signed-in user: how many of which requests, and what a request beyond them is answered."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from app.api.limits import MAX_BUCKETS, SLOW_SEARCH, UserLimit, UserLimits
from app.api.openapi import document
from app.application import create_app
from app.errors import DatabaseDown, DatabaseSlow, LockTimeout, TooManyRequests
from tests.support import asgi
from tests.support.factories import Person
from tests.support.service import Chat, in_process, settings_of
from tools.sandbox.clerk.frontend_api import ClerkIssuer

DOCUMENT = document(asgi.stranded_app().routes)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def allowed(limit: UserLimit, user: str | None, times: int) -> int:
    """How many of so many requests at once are let in."""
    done = 0
    for _ in range(times):
        try:
            limit.take(user)
        except TooManyRequests:
            continue
        done += 1
    return done


def test_a_user_may_do_so_much_at_once_and_as_much_again_in_the_course_of_the_time(clock: Clock) -> None:
    limit = UserLimit(10, 60, clock=clock)

    at_once = allowed(limit, "user_a", 30)
    clock.now += 12
    later = allowed(limit, "user_a", 30)
    clock.now += 600
    rested = allowed(limit, "user_a", 30)

    assert (at_once, later, rested) == (10, 2, 10)


def test_a_refusal_says_when_to_come_back(clock: Clock) -> None:
    """Coming back then is let in, and a moment earlier is not."""
    limit = UserLimit(10, 60, clock=clock)
    allowed(limit, "user_a", 10)
    clock.now += 0.5

    with pytest.raises(TooManyRequests) as refused:
        limit.take("user_a")

    assert refused.value.retry_after == 6
    clock.now += 5.4
    assert allowed(limit, "user_a", 1) == 0
    clock.now += 0.6
    assert allowed(limit, "user_a", 2) == 1


def test_a_user_does_not_use_up_what_others_may_do(clock: Clock) -> None:
    limit = UserLimit(3, 60, clock=clock)

    assert [allowed(limit, user, 5) for user in ("user_a", "user_b", "user_a")] == [3, 3, 0]


def test_a_service_token_has_no_limit(clock: Clock) -> None:
    assert allowed(UserLimit(3, 60, clock=clock), None, 1000) == 1000


def test_0_is_no_limit(clock: Clock) -> None:
    limit = UserLimit(0, 60, clock=clock)
    limit.charge("user_a", 1000)

    assert (allowed(limit, "user_a", 1000), len(limit)) == (1000, 0)


def test_what_is_charged_beyond_the_last_token_is_owed(clock: Clock) -> None:
    limit = UserLimit(10, 60, clock=clock)
    limit.take("user_a")
    limit.charge("user_a", 14)

    clock.now += 30
    assert allowed(limit, "user_a", 1) == 0
    clock.now += 6
    assert allowed(limit, "user_a", 1) == 1


def test_a_user_who_rests_is_forgotten(clock: Clock) -> None:
    """Two of them whenever another one asks."""
    limit = UserLimit(10, 60, clock=clock)
    for number in range(100):
        limit.take(f"user_{number}")
    clock.now += 60

    for number in range(60):
        limit.take(f"user_new{number}")

    assert len(limit) == 60


def test_no_number_of_users_fills_the_memory(clock: Clock) -> None:
    """The one who asked longest ago is forgotten first."""
    limit = UserLimit(2, 3600, clock=clock)
    for number in range(MAX_BUCKETS + 500):
        allowed(limit, f"user_{number}", 2)

    assert len(limit) == MAX_BUCKETS
    assert [allowed(limit, f"user_{number}", 2) for number in (MAX_BUCKETS + 499, 0)] == [0, 2]


def test_the_one_who_asks_again_is_not_the_first_to_be_forgotten(clock: Clock) -> None:
    limit = UserLimit(2, 3600, clock=clock)
    for number in range(MAX_BUCKETS):
        limit.take(f"user_{number}")
    limit.take("user_0")
    limit.take("user_new")

    assert [allowed(limit, user, 2) for user in ("user_0", "user_1")] == [0, 2]


def test_what_a_request_may_take_is_charged_until_it_is_known(clock: Clock) -> None:
    """Also where it fails; what it did not use is there again."""
    limit = UserLimit(10, 60, clock=clock)

    with limit.reserve("user_a", 10) as reservation:
        meanwhile = allowed(limit, "user_a", 10)
        reservation.used = 3
    after = allowed(limit, "user_a", 10)
    with pytest.raises(KeyError), limit.reserve("user_b", 10):
        raise KeyError

    assert (meanwhile, after, allowed(limit, "user_b", 20)) == (0, 7, 10)


def test_a_limit_that_rests_while_a_request_is_under_way_gives_back_no_more_than_there_is(clock: Clock) -> None:
    limit = UserLimit(10, 60, clock=clock)

    with limit.reserve("user_a", 8):
        clock.now += 600

    assert allowed(limit, "user_a", 20) == 10


@pytest.mark.parametrize(("error", "tokens"), [(DatabaseSlow, SLOW_SEARCH), (LockTimeout, 1), (DatabaseDown, 1)])
def test_a_search_that_takes_too_long_counts_as_many(clock: Clock, error: type[Exception], tokens: int) -> None:
    """Any other failure is not the user's doing."""
    searches, other = UserLimit(100, 60, clock=clock), UserLimit(0, 60)
    limits = UserLimits(reads=other, writes=other, sessions=other, messages=other, searches=searches)

    with pytest.raises(error), limits.search("user_a"):
        raise error
    with limits.search("user_b"):
        pass

    assert [allowed(searches, user, 200) for user in ("user_a", "user_b")] == [100 - tokens, 99]


def test_searches_under_way_count_as_one_each(clock: Clock) -> None:
    """A person who types sends one for each key, and their client gives up all but the last."""
    searches, other = UserLimit(120, 60, clock=clock), UserLimit(0, 60)
    limits = UserLimits(reads=other, writes=other, sessions=other, messages=other, searches=searches)

    with ExitStack() as typing:
        for _ in range(16):
            typing.enter_context(limits.search("user_a"))
        typed = allowed(searches, "user_a", 200)

    assert (typed, allowed(searches, "user_a", 200)) == (104, 0)


Callers = tuple[Chat, Person, Chat, Person, Chat]


@asynccontextmanager
async def limited_service(variables: dict[str, str], issuer: ClerkIssuer, **limits: str) -> AsyncIterator[Callers]:
    """Two signed-in users and the chat backend."""
    mine, theirs = Person(), Person()
    app = create_app(settings_of(variables | limits | {"CLERK_ISSUER": issuer.url}))
    async with in_process(app) as service:
        mine_chat, theirs_chat = (Chat(service.client, issuer.token(one)) for one in (mine, theirs))
        yield mine_chat, mine, theirs_chat, theirs, Chat(service.client)


@pytest.fixture(scope="module")
def issuer() -> Iterator[ClerkIssuer]:
    with ClerkIssuer() as issuer:
        yield issuer


@pytest.fixture
async def callers(variables: dict[str, str], issuer: ClerkIssuer) -> AsyncIterator[Callers]:
    """At a service that lets each user do three of everything that has a limit of its own."""
    names = ("USER_SESSIONS_PER_HOUR", "USER_MESSAGES_PER_MINUTE", "USER_SEARCHES_PER_MINUTE")
    async with limited_service(variables, issuer, **dict.fromkeys(names, "3")) as callers:
        yield callers


@pytest.mark.anyio
async def test_a_signed_in_user_opens_so_many_sessions_and_no_more(callers: Callers, backboard: Any) -> None:
    """No thread is made for the others; other users and the chat backend are served."""
    chat, person, other, stranger, service = callers

    opened = [await chat.open(person) for _ in range(5)]
    calls = len(backboard.threads())
    served = [(await other.open(stranger)).status_code, (await service.open(person)).status_code]

    assert ([answer.status_code for answer in opened], calls) == ([201, 201, 201, 429, 429], 3)
    assert served == [201, 201]
    refusal = opened[-1]
    assert (refusal.headers["retry-after"], refusal.headers["content-type"]) == ("1200", "application/problem+json")
    assert "too often" in refusal.json()["detail"]


@pytest.mark.anyio
async def test_a_signed_in_user_writes_so_many_messages_and_no_more(
    callers: Callers,
) -> None:
    """Alone or in batches; the chat backend writes on."""
    chat, person, _, _, service = callers
    session = (await chat.open(person)).json()
    batch = {"messages": [{"role": "user", "content": "b"}] * 100}

    answers = [
        await chat.say(session, "user", "a"),
        await chat.post(f"/sessions/{session['id']}/messages/batch", batch),
        await chat.say(session, "user", "c"),
        await chat.say(session, "user", "d"),
        await chat.post(f"/sessions/{session['id']}/messages/batch", batch),
        await service.say(session, "assistant", "e"),
    ]

    assert [answer.status_code for answer in answers] == [201, 201, 201, 429, 429, 201]


@pytest.mark.anyio
async def test_a_long_message_counts_as_several(callers: Callers) -> None:
    """For each started 16 KiB; what is let in is stored whole."""
    chat, person, other, stranger, _ = callers
    sessions = [(await one.open(owner)).json() for one, owner in ((chat, person), (other, stranger))]

    mine = [(await chat.say(sessions[0], "user", "x" * 40_000)).status_code for _ in range(2)]
    theirs = [(await other.say(sessions[1], "user", "x" * 16_384)).status_code for _ in range(4)]

    assert (mine, theirs) == ([201, 429], [201, 201, 201, 429])


@pytest.mark.anyio
async def test_a_signed_in_user_searches_and_counts_so_often_and_no_more(
    callers: Callers,
) -> None:
    """A list without a search is not one."""
    chat, person, _, _, service = callers
    await chat.open(person)
    sessions, stats = f"/users/{person.clerk_id}/sessions", f"/users/{person.clerk_id}/stats"

    paths = [f"{sessions}?q=a", stats, f"{sessions}?q=b", f"{sessions}?q=c", stats, sessions, f"{sessions}?q="]
    statuses = [(await chat.get(path)).status_code for path in paths]
    posted = await chat.post(f"{sessions}/search", {"q": "d"})

    assert (statuses, posted.status_code) == ([200, 200, 200, 429, 429, 200, 200], 429)
    assert [(await service.get(path)).status_code for path in paths] == [200] * 7


async def refused_repeats(callers: Callers, issuer: ClerkIssuer, method: str, path: str) -> list[httpx.Response]:
    """The answers to one request of a new user and its repetition, then to both by the chat backend."""
    person, (*_, service) = Person(), callers
    url = path.format(clerk_id=person.clerk_id, session_id=uuid4(), message_id=uuid4(), slug="a")
    user = {"Authorization": f"Bearer {issuer.token(person)}"}
    backend = {"Authorization": f"Bearer {service.token}"}
    return [await service.client.request(method, url, headers=headers) for headers in (user, user, backend, backend)]


@pytest.mark.anyio
async def test_every_route_that_a_session_token_may_call_has_a_limit(
    variables: dict[str, str], issuer: ClerkIssuer
) -> None:
    """With one read and one write, whatever comes of them, the second is 429; for a service token it is not."""
    async with limited_service(variables, issuer, USER_READS_PER_MINUTE="1", USER_WRITES_PER_MINUTE="1") as callers:
        for path, item in DOCUMENT["paths"].items():
            for method in [method for method, one in item.items() if method != "parameters" and one.get("security")]:
                answers = await refused_repeats(callers, issuer, method, path)
                limited = [answer.status_code == 429 for answer in answers]
                assert (method, path, limited) == (method, path, [False, True, False, False])
                assert 30 < int(answers[1].headers["retry-after"]) <= 60


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("requests", "statuses"),
    [
        (("GET /stats", "HEAD /sessions", "GET /preferences"), (200, 200, 429)),
        (("PUT /preferences", "PATCH /preferences", "POST /sessions"), (200, 200, 429)),
        (("POST /sessions", "POST /sessions", "PATCH /preferences", "GET /sessions"), (201, 201, 429, 200)),
        (("GET /sessions", "GET /nowhere", "GET /sessions", "GET /sessions"), (200, 404, 200, 429)),
    ],
    ids=["reads", "writes", "each by itself", "paths that are not there"],
)
async def test_reads_and_writes_have_a_limit_each(
    variables: dict[str, str], issuer: ClerkIssuer, requests: tuple[str, ...], statuses: tuple[int, ...]
) -> None:
    async with limited_service(variables, issuer, USER_READS_PER_MINUTE="2", USER_WRITES_PER_MINUTE="2") as callers:
        chat, person, _, _, service = callers
        await service.open(person)

        answers = []
        for request in requests:
            method, path = request.split()
            body = b"" if method in ("GET", "HEAD") else b"{}"
            answers.append((await chat.raw(method, f"/users/{person.clerk_id}{path}", body)).status_code)

    assert tuple(answers) == statuses


class Bodies:
    """Bodies of which each request sends one half, and the other when all have been let in or refused."""

    def __init__(self, count: int) -> None:
        self._barrier = asyncio.Barrier(count)

    async def send(self, chat: Chat, path: str, body: bytes, headers: dict[str, str]) -> int:
        """The status of the answer; a request that is refused does not read its body."""
        waiting = asyncio.create_task(self._barrier.wait())

        async def halves() -> AsyncIterator[bytes]:
            yield body[:10]
            await waiting
            yield body[10:]

        headers = headers | {"Authorization": f"Bearer {chat.token}", "Content-Type": "application/json"}
        try:
            return (await chat.client.post(path, content=halves(), headers=headers)).status_code
        finally:
            await waiting


LONG = {"role": "user", "content": "x" * 40_000}
SHORT = {"role": "user", "content": "x"}


SHORT_NOTE = {"a": "x" * 16_000}
AT_ONCE = {
    "a long message": ("", LONG, 201, [429]),
    "a batch": ("/batch", {"messages": [LONG]}, 201, [429]),
    "metadata of a batch": ("/batch", {"messages": [SHORT | {"metadata": SHORT_NOTE}] * 3}, 201, [429]),
    "text and metadata": ("", {"role": "user", "content": "x" * 20_000, "metadata": SHORT_NOTE}, 201, [429]),
    "a short one": ("", SHORT, 201, [201, 201, 429]),
    "a role that there is not": ("", SHORT | {"role": "system"}, 422, [201, 201, 429]),
    "a long one without a role": ("", {"content": "x" * 40_000}, 422, [201, 201, 429]),
}


@pytest.mark.anyio
@pytest.mark.parametrize("framing", ["announced", "chunked"])
@pytest.mark.parametrize(("path", "body", "status", "after"), AT_ONCE.values(), ids=AT_ONCE)
async def test_messages_at_once_are_no_more_than_one_after_the_other(
    callers: Callers, framing: str, path: str, body: Any, status: int, after: list[int]
) -> None:
    """What a body may hold is charged before it is read; what it did not hold is given back."""
    chat, person, *_ = callers
    session = (await chat.open(person)).json()
    url, text = f"/sessions/{session['id']}/messages", json.dumps(body).encode()
    headers = {"Content-Length": str(len(text))} if framing == "announced" else {}
    # Of short ones that say so, three may come at once.
    count = 10 if len(text) > 1000 or framing == "chunked" else 1

    bodies = Bodies(count)
    at_once = await asyncio.gather(*(bodies.send(chat, url + path, text, headers) for _ in range(count)))
    then = [(await chat.say(session, "user", "y")).status_code for _ in after]

    assert (sorted(at_once), then) == (sorted([status] + [429] * (count - 1)), after)


@pytest.mark.anyio
async def test_long_pages_of_the_history_count_as_several_reads(
    variables: dict[str, str], issuer: ClerkIssuer, database: psycopg.Connection[dict[str, Any]]
) -> None:
    """Also when they are asked for at once. Short ones count as one each."""
    async with limited_service(variables, issuer, USER_READS_PER_MINUTE="20") as callers:
        chat, person, other, stranger, _ = callers
        long, short = [(await one.open(owner)).json() for one, owner in ((chat, person), (other, stranger))]
        database.execute(
            "INSERT INTO messages (session_id, role, content) SELECT %s, 'user', repeat('x', 100000)"
            " FROM generate_series(1, 10)",
            [long["id"]],
        )

        at_once = await asyncio.gather(*(chat.get(f"/sessions/{long['id']}/messages") for _ in range(10)))
        polled = [(await other.get(f"/sessions/{short['id']}/messages")).status_code for _ in range(21)]

    assert sorted(answer.status_code for answer in at_once) == [200] * 2 + [429] * 8
    assert polled == [200] * 20 + [429]


@pytest.mark.anyio
async def test_sixteen_searches_at_once_are_answered(variables: dict[str, str], issuer: ClerkIssuer) -> None:
    """With the limits as they are by default."""
    async with limited_service(variables, issuer) as callers:
        chat, person, *_ = callers
        await chat.open(person)
        path = f"/users/{person.clerk_id}/sessions"
        answers = await asyncio.gather(
            *(chat.post(f"{path}/search", {"q": "lisbon in may go"[: n + 1]}) for n in range(16))
        )

    assert [answer.status_code for answer in answers] == [200] * 16
