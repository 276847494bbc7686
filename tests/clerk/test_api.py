"""What Clerk is asked, and what each of its answers means."""

from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.clerk.api import PAGE_LIMIT, ClerkApi, ClerkUnavailable, build_clerk_client
from app.deadline import Deadline
from tests.support.factories import Person, user_data
from tools.sandbox.backboard.faults import html, nested
from tools.sandbox.clerk import LOCAL_KEY, Clerk, refuses
from tools.sandbox.faults import Fault, cuts, drips, drops, empty, garbage, hangs, redirect, resets

pytestmark = pytest.mark.anyio


@pytest.fixture
def clerk() -> Iterator[Clerk]:
    with Clerk() as clerk:
        yield clerk


@pytest.fixture
async def api(clerk: Clerk) -> AsyncIterator[ClerkApi]:
    async with build_clerk_client(url=clerk.url, secret_key=LOCAL_KEY, connections=5) as client:
        yield ClerkApi(client)


def add(clerk: Clerk, count: int = 1) -> list[Person]:
    """So many people, the oldest first."""
    people = [Person() for _ in range(count)]
    for person in people:
        clerk.add_user(**user_data(person, created_at=1_700_000_000_000 + person.number))
    return people


async def reason_of(asking: Any) -> ClerkUnavailable:
    with pytest.raises(ClerkUnavailable) as caught:
        await asking
    return caught.value


async def test_a_user_is_read_into_a_profile(clerk: Clerk, api: ClerkApi) -> None:
    """The same reading as an event's: the primary address, first and last name, Clerk's version."""
    (person,) = add(clerk)

    profile = await api.get_user(person.clerk_id, Deadline())

    assert profile is not None
    assert (profile.clerk_id, profile.email) == (person.clerk_id, person.email)
    assert profile.name == f"Canaryname {person.number}"
    assert profile.updated_at is not None


async def test_a_request_carries_the_key_and_the_version(clerk: Clerk, api: ClerkApi) -> None:
    """What applies without a version is not documented, so it is always sent."""
    (person,) = add(clerk)

    await api.get_user(person.clerk_id, Deadline())

    (call,) = clerk.calls()
    assert call.headers["authorization"] == f"Bearer {LOCAL_KEY}"
    assert call.headers["clerk-api-version"] == "2026-05-12"


async def test_an_unknown_user_is_none(api: ClerkApi) -> None:
    """By Clerk's own code, which no other 404 carries."""
    assert await api.get_user(Person().clerk_id, Deadline()) is None


async def test_an_answer_about_somebody_else_is_not_believed(clerk: Clerk, api: ClerkApi) -> None:
    """The id in the answer has to be the one that was asked for."""
    (person,) = add(clerk)
    clerk.users[person.clerk_id] = user_data(Person())

    error = await reason_of(api.get_user(person.clerk_id, Deadline()))

    assert error.reason == "clerk_unreadable"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (refuses(401, "clerk_key_invalid"), "clerk_refused"),
        (refuses(403, "authorization_invalid"), "clerk_refused"),
        (refuses(404), "clerk_refused"),
        (html(404), "clerk_refused"),
        (refuses(422), "clerk_error"),
        (refuses(500), "clerk_error"),
        (html(502), "clerk_error"),
        (html(200), "clerk_error"),
        (redirect("https://example.com/"), "clerk_error"),
        (empty(), "clerk_error"),
        (garbage(b"[{]"), "clerk_error"),
        (garbage(b"\xff"), "clerk_error"),
        (garbage(b"[]"), "clerk_unreadable"),
        (garbage(b'{"id": 7}'), "clerk_unreadable"),
        (garbage(b'"' + b"x" * 2_000_000 + b'"'), "clerk_unreadable"),
        (nested(), "clerk_error"),
        (cuts(), "clerk_unreachable"),
        (drops(), "clerk_unreachable"),
        (resets(), "clerk_unreachable"),
        (hangs(), "clerk_unreachable"),
        (drips(), "clerk_unreachable"),
    ],
    ids=str,
)
async def test_an_answer_that_is_none_never_means_an_unknown_user(
    clerk: Clerk, api: ClerkApi, fault: Fault, reason: str
) -> None:
    """Whatever goes wrong on the way to Clerk is an error, and soon."""
    (person,) = add(clerk)
    clerk.next("user", fault)

    error = await reason_of(api.get_user(person.clerk_id, Deadline(2.2)))

    assert error.reason == reason


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7), ("0", 1), ("9999", 60), ("", 5), ("soon", 5), ("-1", 5), ("9" * 400, 60)]
)
async def test_a_throttled_call_says_when_to_come_back(clerk: Clerk, api: ClerkApi, header: str, seconds: int) -> None:
    """Clerk's Retry-After within 1 to 60 s, and 5 where it is missing or garbage."""
    clerk.next("user", refuses(429, "too_many_requests", retry_after=header))

    error = await reason_of(api.get_user(Person().clerk_id, Deadline()))

    assert (error.reason, error.retry_after) == ("clerk_throttled", seconds)


async def test_nothing_listening_is_unavailable() -> None:
    """A refused connection is no answer either."""
    with Clerk() as clerk, clerk.refuse_connections():
        async with build_clerk_client(url=clerk.url, secret_key=LOCAL_KEY, connections=1) as client:
            error = await reason_of(ClerkApi(client).get_user(Person().clerk_id, Deadline()))

    assert error.reason == "clerk_unreachable"


async def test_a_wrong_key_is_not_an_empty_instance(clerk: Clerk) -> None:
    """It is refused, by the listing and by the count as well."""
    async with build_clerk_client(url=clerk.url, secret_key="sk_test_other", connections=1) as client:
        api = ClerkApi(client)
        reasons = {(await reason_of(asking)).reason for asking in (api.list_users(None), api.count_users())}

    assert reasons == {"clerk_refused"}


async def test_pages_follow_each_other_without_gap_or_overlap(clerk: Clerk, api: ClerkApi) -> None:
    """Two full pages and a short one, everybody once, the oldest first."""
    people = add(clerk, 2 * PAGE_LIMIT + 3)
    listed: list[str] = []
    cursor = None
    while True:
        page = await api.list_users(cursor)
        listed += [profile.clerk_id for profile in page.profiles]
        cursor = page.cursor
        if cursor is None:
            break

    assert listed == [person.clerk_id for person in people]
    assert len(clerk.calls("list")) == 3


async def test_a_last_page_that_is_full_is_followed_by_an_empty_one(clerk: Clerk, api: ClerkApi) -> None:
    """There is no total in the answer, so a full page cannot be known to be the last."""
    add(clerk, PAGE_LIMIT)

    first = await api.list_users(None)
    second = await api.list_users(first.cursor)

    assert (len(first.profiles), second.profiles, second.cursor) == (PAGE_LIMIT, [], None)


async def test_a_page_is_asked_for_with_the_largest_limit_and_an_escaped_plus(clerk: Clerk, api: ClerkApi) -> None:
    """A raw plus would arrive as a blank, and a limit of 501 would be answered with ten users."""
    (person,) = add(clerk)

    await api.list_users(person.clerk_id)

    query = urlsplit(clerk.calls("list")[0].target).query
    assert "order_by=%2Bcreated_at" in query
    assert parse_qs(query) == {
        "limit": ["500"],
        "order_by": ["+created_at"],
        "starting_after": [person.clerk_id],
    }


@pytest.mark.parametrize("fault", [garbage(b"{}"), garbage(b'[{"id": "org_1"}]'), garbage(b"[[]]")])
async def test_a_page_is_read_whole_or_not_at_all(clerk: Clerk, api: ClerkApi, fault: Fault) -> None:
    """Leaving out what cannot be read would make users look absent."""
    clerk.next("list", fault)

    assert (await reason_of(api.list_users(None))).reason == "clerk_unreadable"


async def test_users_are_counted(clerk: Clerk, api: ClerkApi) -> None:
    """Clerk's own number, which a listing can be held to."""
    add(clerk, 12)

    assert await api.count_users() == 12


@pytest.mark.parametrize("body", [b"12", b"{}", b'{"total_count": null}', b'{"total_count": "12"}'])
async def test_a_count_that_is_no_number_is_no_count(clerk: Clerk, api: ClerkApi, body: bytes) -> None:
    """Nothing is taken for zero."""
    clerk.next("count", garbage(body))

    assert (await reason_of(api.count_users())).reason == "clerk_unreadable"
