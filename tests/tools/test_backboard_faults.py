"""The Backboard sandbox fails as planned: before or after its work, and with unusable responses."""

import json
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import httpx
import pytest

from tools.sandbox import faults
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard import faults as backboard_faults
from tools.sandbox.faults import Fault

NAME = "clerk:user_sandbox"


def create(client: httpx.Client) -> httpx.Response:
    return client.post("/assistants", json={"name": NAME})


@pytest.mark.parametrize("code", [400, 401, 402, 403, 422, 429, 500, 503])
def test_a_refusal_makes_nothing(client: httpx.Client, backboard: Sandbox, code: int) -> None:
    """A status before the commit has a JSON detail, and there is no assistant."""
    backboard.next_create(backboard_faults.status(code))

    response = create(client)

    assert (response.status_code, set(response.json())) == (code, {"detail"})
    assert backboard.made() == []


@pytest.mark.parametrize("code", [502, 504])
def test_a_gateway_responds_in_html(client: httpx.Client, backboard: Sandbox, code: int) -> None:
    """502 and 504 come from a proxy in front of Backboard."""
    backboard.next_create(backboard_faults.html(code))

    response = create(client)

    assert (response.status_code, response.headers["Content-Type"]) == (code, "text/html")


@pytest.mark.parametrize(
    ("name", "reads"),
    [
        ("429", lambda value: value is None),
        ("429_seconds", str.isdigit),
        ("429_date", parsedate_to_datetime),
        ("429_absurd", lambda value: len(value) > 300),
    ],
)
def test_retry_after_has_four_spellings(
    client: httpx.Client, backboard: Sandbox, name: str, reads: Callable[[str | None], object]
) -> None:
    """Missing, in seconds, as a date, or absurd."""
    backboard.next_create(backboard_faults.NAMED[name]())

    response = create(client)

    assert response.status_code == 429
    assert reads(response.headers.get("Retry-After"))


@pytest.mark.parametrize(
    "fault", [backboard_faults.status(500, after_commit=True), backboard_faults.html(502, after_commit=True)]
)
def test_an_error_can_hide_a_success(client: httpx.Client, backboard: Sandbox, fault: Fault) -> None:
    """The response is a 5xx although the assistant exists."""
    backboard.next_create(fault)

    assert create(client).is_server_error
    assert len(backboard.alive(NAME)) == 1


@pytest.mark.parametrize(
    ("fault", "error"), [(faults.late(0.2), httpx.RemoteProtocolError), (faults.slow(0.3), httpx.ReadTimeout)]
)
def test_a_create_can_be_done_after_the_client_has_left(
    client: httpx.Client, backboard: Sandbox, fault: Fault, error: type[Exception]
) -> None:
    """The assistant is missing when the client gives up, and exists a moment later."""
    backboard.next_create(fault)
    with pytest.raises(error):
        create(client)

    assert backboard.alive(NAME) == []
    backboard.wait_for(lambda: len(backboard.alive(NAME)) == 1)


def test_a_late_create_does_not_survive_a_reset(client: httpx.Client, backboard: Sandbox) -> None:
    """A call that one test has left under way has no effect in the next test."""
    backboard.next_create(faults.late(0.05))
    with pytest.raises(httpx.RemoteProtocolError):
        create(client)
    backboard.reset()
    time.sleep(0.1)

    assert backboard.made() == []


@pytest.mark.parametrize(
    ("fault", "body"),
    [
        (backboard_faults.html(after_commit=True), b"<html>"),
        (faults.empty(), b""),
        (backboard_faults.without("assistant_id"), b'{"name":'),
        (backboard_faults.says(assistant_id="asst_123"), b'{"assistant_id":"asst_123"'),
        (backboard_faults.says(tok_k=float("nan")), b'{"assistant_id":'),
        (faults.gzipped(), b"\x1f\x8b"),
    ],
    ids=str,
)
def test_a_success_can_be_unreadable(client: httpx.Client, backboard: Sandbox, fault: Fault, body: bytes) -> None:
    """The status is 200 and the assistant exists, but the body is unusable."""
    backboard.next_create(fault)

    with client.stream("POST", "/assistants", json={"name": NAME}) as response:
        raw = b"".join(response.iter_raw())

    assert (response.status_code, raw[: len(body)]) == (200, body)
    assert bool(raw) == bool(body)
    assert len(backboard.alive(NAME)) == 1


def test_a_success_can_hold_nan_and_nested_arrays(client: httpx.Client, backboard: Sandbox) -> None:
    """A bare NaN is no JSON; the arrays are well-formed."""
    backboard.next_create(backboard_faults.says(tok_k=float("nan")), backboard_faults.nested(20))

    assert '"tok_k":NaN' in create(client).text
    assert '"tower":[[[[' in create(client).text


def test_nested_arrays_can_be_too_deep_to_parse(client: httpx.Client, backboard: Sandbox) -> None:
    """A hundred thousand levels end a recursive parser."""
    backboard.always("any", backboard_faults.nested())

    for response in (create(client), client.get("/assistants")):
        with pytest.raises(RecursionError):
            json.loads(response.text)


def test_a_response_can_be_about_another_assistant(client: httpx.Client, backboard: Sandbox) -> None:
    """With another name, or with the id of the oldest assistant."""
    oldest = backboard.make_assistant("another")
    backboard.next_create(backboard_faults.says(name="another"), backboard_faults.earlier_id())

    assert create(client).json()["name"] == "another"
    assert create(client).json()["assistant_id"] == oldest.id
    assert len(backboard.alive(NAME)) == 2


@pytest.mark.parametrize("assistants", [0, 1, 3])
def test_a_listing_can_be_large(client: httpx.Client, backboard: Sandbox, assistants: int) -> None:
    """Five megabytes of prompts in a valid array of the same assistants."""
    for _ in range(assistants):
        backboard.make_assistant(NAME)
    backboard.next_lookup(backboard_faults.oversize())

    response = client.get("/assistants", params={"name": NAME})

    assert len(response.content) >= 5_000_000
    assert [item["name"] for item in response.json()] == [NAME] * assistants


def test_a_listing_can_have_another_shape(client: httpx.Client, backboard: Sandbox) -> None:
    """An object around the array, or each assistant twice."""
    made = backboard.make_assistant(NAME)
    backboard.next("list", backboard_faults.wrapped(), backboard_faults.repeated())

    wrapped, repeated = client.get("/assistants").json(), client.get("/assistants").json()

    assert [item["assistant_id"] for item in wrapped["assistants"]] == [made.id]
    assert [item["assistant_id"] for item in repeated] == [made.id] * 2


@pytest.mark.parametrize(
    ("kind", "method", "path"),
    [
        ("lookup", "GET", f"?name={NAME}"),
        ("get", "GET", "/{id}"),
        ("delete", "DELETE", "/{id}"),
        ("list_threads", "GET", "/{id}/threads"),
        ("create_thread", "POST", "/{id}/threads"),
    ],
)
def test_every_kind_of_call_can_fail(
    client: httpx.Client, backboard: Sandbox, kind: str, method: str, path: str
) -> None:
    """With an error or a dropped connection; a delete that fails before its work deletes nothing."""
    made = backboard.make_assistant(NAME)
    backboard.next(kind, backboard_faults.html(502), faults.drops())
    url = "/assistants" + path.format(id=made.id)

    assert client.request(method, url).status_code == 502
    with pytest.raises(httpx.RemoteProtocolError):
        client.request(method, url)
    assert len(backboard.alive(NAME)) == 1


def test_a_thread_can_be_made_twice_forgotten_or_shown_late(client: httpx.Client, backboard: Sandbox) -> None:
    """The response is right each time; only a later look shows the difference."""
    made = backboard.make_assistant(NAME)
    threads = f"/assistants/{made.id}/threads"
    backboard.next("create_thread", backboard_faults.twice(), backboard_faults.forgets())

    twice, forgotten = (client.post(threads, json={}).json()["thread_id"] for _ in range(2))
    backboard.switches.visible_after = 60
    late = client.post(threads, json={}).json()["thread_id"]
    listed = client.get(threads).json()
    backboard.switches.visible_after = 0

    assert listed == []
    shown = [thread["thread_id"] for thread in client.get(threads).json()]
    assert (len(shown), shown[0], shown[2]) == (3, twice, late)
    assert client.get(f"/threads/{forgotten}").status_code == 404


def test_a_deletion_of_a_thread_can_be_forgotten(client: httpx.Client, backboard: Sandbox) -> None:
    """The response says deleted, but the thread is still there, as after a deletion that fails before its work."""
    thread = backboard.make_thread(backboard.make_assistant(NAME).id)
    backboard.next("delete_thread", backboard_faults.forgets(), backboard_faults.status(500))

    statuses = [client.delete(f"/threads/{thread.id}").status_code for _ in range(3)]

    assert statuses == [200, 500, 200]
    assert backboard.threads() == []


def test_a_deletion_can_be_done_without_a_response(client: httpx.Client, backboard: Sandbox) -> None:
    """The repeated deletion is a 404."""
    made = backboard.make_assistant(NAME)
    backboard.next_delete(faults.drops(after_commit=True))
    with pytest.raises(httpx.RemoteProtocolError):
        client.delete(f"/assistants/{made.id}")

    assert client.delete(f"/assistants/{made.id}").status_code == 404


def test_a_redirect_leads_elsewhere(client: httpx.Client, backboard: Sandbox) -> None:
    """A client that followed the 307 would send its key to another host."""
    backboard.next_create(faults.redirect("http://localhost:9/"))

    assert create(client).headers["Location"] == "http://localhost:9/"


def test_a_call_can_be_held_until_the_test_lets_it_go(client: httpx.Client, backboard: Sandbox) -> None:
    """Here after its work; the response waits for the gate."""
    gate = threading.Event()
    backboard.next_create(faults.held(gate, after_commit=True))
    with pytest.raises(httpx.ReadTimeout):
        create(client)
    gate.set()

    assert len(backboard.alive(NAME)) == 1
