"""Limits per signed-in user: how many sessions, messages and searches, and what a request beyond them is answered."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.api.limits import MAX_BUCKETS, UserLimit
from app.application import create_app
from app.errors import TooManyRequests
from tests.support.factories import Person
from tests.support.service import Chat, in_process, settings_of
from tools.sandbox.clerk.frontend_api import ClerkIssuer


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

    assert allowed(limit, "user_a", 1000) == 1000


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


@pytest.fixture
async def callers(variables: dict[str, str]) -> AsyncIterator[tuple[Chat, Person, Chat, Person, Chat]]:
    """Two signed-in users and the chat backend, at a service that lets each user do three of everything."""
    mine, theirs = Person(), Person()
    limits = dict.fromkeys(("USER_SESSIONS_PER_HOUR", "USER_MESSAGES_PER_MINUTE", "USER_SEARCHES_PER_MINUTE"), "3")
    with ClerkIssuer() as issuer:
        app = create_app(settings_of(variables | limits | {"CLERK_ISSUER": issuer.url}))
        async with in_process(app) as service:
            mine_chat, theirs_chat = (Chat(service.client, issuer.token(one)) for one in (mine, theirs))
            yield mine_chat, mine, theirs_chat, theirs, Chat(service.client)


@pytest.mark.anyio
async def test_a_signed_in_user_opens_so_many_sessions_and_no_more(
    callers: tuple[Chat, Person, Chat, Person, Chat], backboard: Any
) -> None:
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
    callers: tuple[Chat, Person, Chat, Person, Chat],
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
async def test_a_long_message_counts_as_several(callers: tuple[Chat, Person, Chat, Person, Chat]) -> None:
    """For each started 16 KiB; what is let in is stored whole."""
    chat, person, other, stranger, _ = callers
    sessions = [(await one.open(owner)).json() for one, owner in ((chat, person), (other, stranger))]

    mine = [(await chat.say(sessions[0], "user", "x" * 40_000)).status_code for _ in range(2)]
    theirs = [(await other.say(sessions[1], "user", "x" * 16_384)).status_code for _ in range(4)]

    assert (mine, theirs) == ([201, 429], [201, 201, 201, 429])


@pytest.mark.anyio
async def test_a_signed_in_user_searches_and_counts_so_often_and_no_more(
    callers: tuple[Chat, Person, Chat, Person, Chat],
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
