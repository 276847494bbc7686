"""The calls to Clerk's Backend API, and what each response means."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
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


def add_users(clerk: Clerk, count: int = 1) -> list[Person]:
    """Add users, the oldest first."""
    people = [Person() for _ in range(count)]
    for person in people:
        clerk.add_user(**user_data(person, created_at=1_700_000_000_000 + person.number))
    return people


async def error_of(call: Any) -> ClerkUnavailable:
    with pytest.raises(ClerkUnavailable) as caught:
        await call
    return caught.value


async def test_a_user_is_read_into_a_profile(clerk: Clerk, api: ClerkApi) -> None:
    """As in an event: the primary address, first and last name, Clerk's version."""
    (person,) = add_users(clerk)

    profile = await api.get_user(person.clerk_id, Deadline())

    assert profile is not None
    assert (profile.clerk_id, profile.email) == (person.clerk_id, person.email)
    assert profile.name == f"Canaryname {person.number}"
    assert profile.updated_at is not None


async def test_a_request_carries_the_key_and_the_version(clerk: Clerk, api: ClerkApi) -> None:
    """Clerk does not document which version applies without the header."""
    (person,) = add_users(clerk)

    await api.get_user(person.clerk_id, Deadline())

    (call,) = clerk.calls()
    assert call.headers["authorization"] == f"Bearer {LOCAL_KEY}"
    assert call.headers["clerk-api-version"] == "2026-05-12"


async def test_an_unknown_user_is_none(api: ClerkApi) -> None:
    """The 404 carries Clerk's own error code."""
    assert await api.get_user(Person().clerk_id, Deadline()) is None


async def test_a_response_about_another_user_is_unreadable(clerk: Clerk, api: ClerkApi) -> None:
    """The id in the response has to be the one of the request."""
    (person,) = add_users(clerk)
    clerk.users[person.clerk_id] = user_data(Person())

    error = await error_of(api.get_user(person.clerk_id, Deadline()))

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
async def test_a_failure_never_means_an_unknown_user(clerk: Clerk, api: ClerkApi, fault: Fault, reason: str) -> None:
    """Every failure is an error within the deadline."""
    (person,) = add_users(clerk)
    clerk.next("user", fault)

    error = await error_of(api.get_user(person.clerk_id, Deadline(2.2)))

    assert error.reason == reason


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7), ("0", 1), ("9999", 60), ("", 5), ("soon", 5), ("-1", 5), ("9" * 400, 60)]
)
async def test_a_429_passes_its_retry_after_on(clerk: Clerk, api: ClerkApi, header: str, seconds: int) -> None:
    """Limited to 1 to 60 s, and 5 s where it is missing or malformed."""
    clerk.next("user", refuses(429, "too_many_requests", retry_after=header))

    error = await error_of(api.get_user(Person().clerk_id, Deadline()))

    assert (error.reason, error.retry_after) == ("clerk_throttled", seconds)


async def test_a_refused_connection_is_unavailable() -> None:
    with Clerk() as clerk, clerk.refuse_connections():
        async with build_clerk_client(url=clerk.url, secret_key=LOCAL_KEY, connections=1) as client:
            error = await error_of(ClerkApi(client).get_user(Person().clerk_id, Deadline()))

    assert error.reason == "clerk_unreachable"


async def test_a_wrong_key_does_not_look_like_an_empty_instance(clerk: Clerk) -> None:
    """The listing and the count raise."""
    async with build_clerk_client(url=clerk.url, secret_key="sk_test_other", connections=1) as client:
        api = ClerkApi(client)
        reasons = {(await error_of(call)).reason for call in (api.list_users(None), api.count_users())}

    assert reasons == {"clerk_refused"}


async def test_pages_list_every_user_once_and_in_order(clerk: Clerk, api: ClerkApi) -> None:
    """Two full pages and a short one, the oldest user first."""
    people = add_users(clerk, 2 * PAGE_LIMIT + 3)
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


async def test_a_full_last_page_is_followed_by_an_empty_one(clerk: Clerk, api: ClerkApi) -> None:
    """A page has no total, so a full page may not be the last one."""
    add_users(clerk, PAGE_LIMIT)

    first = await api.list_users(None)
    second = await api.list_users(first.cursor)

    assert (len(first.profiles), second.profiles, second.cursor) == (PAGE_LIMIT, [], None)


async def test_a_page_is_requested_with_the_highest_limit_and_an_escaped_plus(clerk: Clerk, api: ClerkApi) -> None:
    """An unescaped plus would arrive as a blank, and Clerk answers a limit of 501 with ten users."""
    (person,) = add_users(clerk)

    await api.list_users(person.clerk_id)

    query = urlsplit(clerk.calls("list")[0].target).query
    assert "order_by=%2Bcreated_at" in query
    assert parse_qs(query) == {
        "limit": ["500"],
        "order_by": ["+created_at"],
        "starting_after": [person.clerk_id],
    }


@pytest.mark.parametrize("fault", [garbage(b"{}"), garbage(b'[{"id": "org_1"}]'), garbage(b"[[]]")])
async def test_a_page_with_an_unreadable_user_is_unreadable(clerk: Clerk, api: ClerkApi, fault: Fault) -> None:
    """Skipping the user would make it look absent."""
    clerk.next("list", fault)

    assert (await error_of(api.list_users(None))).reason == "clerk_unreadable"


async def test_users_are_counted(clerk: Clerk, api: ClerkApi) -> None:
    """The listing is compared with Clerk's own number."""
    add_users(clerk, 12)

    assert await api.count_users() == 12


@pytest.mark.parametrize("body", [b"12", b"{}", b'{"total_count": null}', b'{"total_count": "12"}'])
async def test_a_count_that_is_not_a_number_is_unreadable(clerk: Clerk, api: ClerkApi, body: bytes) -> None:
    """It does not become zero."""
    clerk.next("count", garbage(body))

    assert (await error_of(api.count_users())).reason == "clerk_unreadable"


DECORATIONS = {
    "a huge number": b'{"x": 1e400}',
    "5,000 digits": b'{"x": ' + b"9" * 5000 + b"}",
    "1,000 objects in each other": b'{"x":' * 1000 + b"1" + b"}" * 1000,
    "4,000 arrays in each other": b"[" * 4000 + b"]" * 4000,
    "keys that stand twice": b'{"id": 1, "id": 2, "x": 1, "x": 2}',
    "half a surrogate pair": rb'{"\ud800": "\udfff"}',
}


@pytest.mark.parametrize("decoration", DECORATIONS.values(), ids=DECORATIONS)
async def test_the_metadata_of_one_user_spoils_no_page(clerk: Clerk, api: ClerkApi, decoration: bytes) -> None:
    """A user's own browser writes it; backfill and reconcile read the other users of the page all the same."""
    people = add_users(clerk, 3)
    clerk.users[people[1].clerk_id]["unsafe_metadata"] = "HERE"
    decorated = Fault("decorated", alter=lambda given: replace(given, body=given.body.replace(b'"HERE"', decoration)))
    clerk.always("any", decorated)

    page = await api.list_users(None)
    profile = await api.get_user(people[1].clerk_id, Deadline())

    assert [one.email for one in page.profiles] == [person.email for person in people]
    assert profile == page.profiles[1]
