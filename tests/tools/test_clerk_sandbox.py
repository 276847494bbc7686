"""The stand-in of Clerk's Backend API behaves as Clerk's documentation and its users describe."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tools.sandbox.clerk import LOCAL_KEY, Clerk, refuses


@pytest.fixture
def clerk() -> Iterator[Clerk]:
    with Clerk() as clerk:
        yield clerk


def ask(clerk: Clerk, target: str, key: str = LOCAL_KEY) -> httpx.Response:
    return httpx.get(clerk.url + target, headers={"Authorization": f"Bearer {key}"}, trust_env=False)


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [user["id"] for user in answer.json()]


def code(answer: httpx.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json()["errors"][0]["code"]


@pytest.mark.parametrize(("limit", "count"), [("", 10), ("limit=7", 7), ("limit=500", 500), ("limit=501", 10)])
def test_a_missing_or_invalid_limit_is_ten(clerk: Clerk, limit: str, count: int) -> None:
    """Above 500 there are ten users and no error."""
    for _ in range(520):
        clerk.add_user()

    assert len(ids(ask(clerk, f"/users?{limit}"))) == count


def test_the_newest_user_comes_first_by_default(clerk: Clerk) -> None:
    """Of several order_by only the first counts."""
    made = [clerk.add_user()["id"] for _ in range(4)]

    assert ids(ask(clerk, "/users")) == made[::-1]
    assert ids(ask(clerk, "/users?order_by=%2Bcreated_at&order_by=-created_at")) == made
    assert ids(ask(clerk, "/users?order_by=created_at&offset=1&limit=2")) == made[1:3]


@pytest.mark.parametrize(
    "query",
    ["order_by=+created_at", "starting_after={id}&offset=0", "starting_after={id}&order_by=updated_at", "limit=x"],
)
def test_an_invalid_query_is_refused(clerk: Clerk, query: str) -> None:
    """A raw plus is a blank, and a cursor requires the order of creation."""
    user = clerk.add_user()

    assert ask(clerk, "/users?" + query.format(id=user["id"])).status_code == 422


def test_users_can_be_listed_by_id(clerk: Clerk) -> None:
    """Unknown ids are silently left out, and more than a hundred are refused."""
    made = [clerk.add_user()["id"] for _ in range(3)]

    assert ids(ask(clerk, f"/users?user_id={made[0]}&user_id={made[2]}&user_id=user_unknown")) == [made[2], made[0]]
    assert ask(clerk, "/users?" + "&".join(["user_id=user_x"] * 101)).status_code == 422


def test_a_user_is_served_by_id_and_users_are_counted(clerk: Clerk) -> None:
    """A removed user is a 404 with Clerk's code."""
    user = clerk.add_user()
    assert ask(clerk, f"/users/{user['id']}").json() == user
    assert ask(clerk, "/users/count").json() == {"object": "total_count", "total_count": 1}

    clerk.remove_user(user["id"])

    assert code(ask(clerk, f"/users/{user['id']}")) == (404, "resource_not_found")
    assert ask(clerk, "/users/count").json()["total_count"] == 0


def test_a_wrong_key_and_an_unknown_path_have_codes_of_their_own(clerk: Clerk) -> None:
    """Neither looks like an unknown user."""
    assert code(ask(clerk, "/users", key="sk_test_other")) == (401, "clerk_key_invalid")
    assert httpx.get(f"{clerk.url}/users", trust_env=False).status_code == 401
    assert code(ask(clerk, "/v1/users"))[1] != "resource_not_found"


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "word"),
    [
        ("GET", "/users", b"", 404, "no_such_route"),
        ("GET", "/v1/organizations", b"", 404, "no_such_route"),
        ("PUT", "/v1/users/{}", b"{}", 405, "method_not_allowed"),
        ("POST", "/v1/users/{}/dance", b"{}", 405, "method_not_allowed"),
        ("POST", "/v1/users", b"[]", 400, "request_body_invalid"),
        ("PATCH", "/v1/users/{}", b"{", 400, "request_body_invalid"),
        ("POST", "/v1/users", b"{}", 422, "form_data_missing"),
        ("POST", "/v1/users", b'{"email_address": "a@example.com"}', 422, "form_param_format_invalid"),
        ("GET", "/v1/users?created_at_after=yesterday", b"", 422, "form_param_format_invalid"),
        ("GET", "/v1/users/count?" + "&".join(["username=x"] * 101), b"", 422, "form_param_exceeds_allowed_size"),
        ("GET", "/v1/sessions", b"", 422, "form_param_missing"),
        ("POST", "/v1/sessions", b'{"user_id": "user_unknown"}', 404, "resource_not_found"),
        ("POST", "/v1/sessions/sess_1/tokens", b"", 404, "resource_not_found"),
    ],
)
def test_a_call_that_clerk_does_not_know_is_refused(
    clerk: Clerk, method: str, target: str, body: bytes, status: int, word: str
) -> None:
    """Nothing is changed by it. `/v1` belongs to every path."""
    user = clerk.add_user()
    before = dict(clerk.users)

    headers = {"Authorization": f"Bearer {LOCAL_KEY}"}
    address = clerk.issuer + target.format(user["id"])
    answer = httpx.request(method, address, content=body, headers=headers, trust_env=False, verify=False)

    assert code(answer) == (status, word)
    assert clerk.users == before


@pytest.mark.parametrize(
    ("gone_cursor", "status", "count"), [("goes_on", 200, 2), ("empty", 200, 0), ("refused", 422, 0)]
)
def test_the_user_of_a_cursor_can_be_deleted(clerk: Clerk, gone_cursor: Any, status: int, count: int) -> None:
    """Clerk does not document what happens then, so a switch chooses."""
    made = [clerk.add_user()["id"] for _ in range(4)]
    clerk.remove_user(made[1])
    clerk.switches.gone_cursor = gone_cursor

    answer = ask(clerk, f"/users?order_by=%2Bcreated_at&starting_after={made[1]}")

    assert answer.status_code == status
    if status == 200:
        assert ids(answer) == made[2 : 2 + count]


def test_a_throttled_endpoint_refuses_until_its_retry_after(clerk: Clerk) -> None:
    """Calls that come too early get another 429; other endpoints respond."""
    clerk.throttle("list", 1)

    first, early, other = ask(clerk, "/users"), ask(clerk, "/users"), ask(clerk, "/users/count")
    time.sleep(1.05)

    assert (code(first), first.headers["Retry-After"]) == ((429, "too_many_requests"), "1")
    assert (early.status_code, other.status_code, ask(clerk, "/users").status_code) == (429, 200, 200)


def test_faults_come_in_order_and_calls_are_recorded(clerk: Clerk) -> None:
    """Queued faults first, then the standing one, until it is cleared."""
    clerk.next("user", refuses(500))
    clerk.always("any", refuses(503))

    answers = [ask(clerk, "/users/user_x").status_code for _ in range(2)]
    clerk.clear()

    assert answers == [500, 503]
    assert ask(clerk, "/users").status_code == 200
    assert [(call.kind, call.status) for call in clerk.calls()] == [("user", 500), ("user", 503), ("list", 200)]
