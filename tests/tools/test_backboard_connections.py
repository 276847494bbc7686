"""The Backboard sandbox misbehaves below HTTP: responses missing, cut or trickling, connections refused or idle."""

import socket
import time
from collections.abc import Callable

import httpx
import pytest

from tests.support.factories import API_KEY
from tools.sandbox import faults
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard import faults as backboard_faults
from tools.sandbox.faults import Fault

NAME = "clerk:user_sandbox"


def create(client: httpx.Client) -> httpx.Response:
    return client.post("/assistants", json={"name": NAME})


@pytest.mark.parametrize("after_commit", [False, True], ids=["before commit", "after commit"])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.hangs, httpx.ReadTimeout),
        (faults.drops, httpx.RemoteProtocolError),
        (faults.resets, httpx.ReadError),
    ],
)
def test_a_response_can_be_missing(
    client: httpx.Client,
    backboard: Sandbox,
    fault: Callable[..., Fault],
    error: type[Exception],
    after_commit: bool,  # noqa: FBT001  # It is a parameter of the case, named by its id.
) -> None:
    """Silence, a closed connection and a reset come before or after the work, and look the same."""
    backboard.next_create(fault(after_commit=after_commit))

    with pytest.raises(error):
        create(client)

    assert len(backboard.alive(NAME)) == after_commit
    assert [call.status for call in backboard.calls()] == [None]


def test_a_body_can_be_cut(client: httpx.Client, backboard: Sandbox) -> None:
    """The work is done, and the response ends in its middle."""
    backboard.next_create(faults.cuts())

    with pytest.raises(httpx.RemoteProtocolError):
        create(client)

    assert len(backboard.alive(NAME)) == 1


@pytest.mark.parametrize(
    "fault",
    [faults.drips(pace=0.01), faults.drips(head=True, pace=0.01), faults.hints(pace=0.01)],
    ids=str,
)
def test_a_response_can_trickle(client: httpx.Client, backboard: Sandbox, fault: Fault) -> None:
    """Bytes or 103s keep coming, each within a read timeout, and the response does not end."""
    backboard.make_assistant("x")
    backboard.next_lookup(fault)
    request = f"GET /api/assistants?name=x HTTP/1.1\r\nHost: x\r\nX-API-Key: {API_KEY}\r\n\r\n"
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=0.5) as raw:
        raw.sendall(request.encode())
        pieces = [raw.recv(4096) for _ in range(20)]

    assert all(pieces)
    assert b"}]" not in b"".join(pieces)


def test_a_trickle_ends_as_the_right_response(client: httpx.Client, backboard: Sandbox) -> None:
    """Afterwards the connection serves the next call."""
    backboard.next_create(faults.drips(pace=0), faults.drips(head=True, pace=0))

    ids = [create(client).json()["assistant_id"] for _ in range(2)]

    assert ids == [made.id for made in backboard.alive(NAME)]


def test_connections_can_be_refused(client: httpx.Client, backboard: Sandbox) -> None:
    """While it is down, pooled connections are closed as well; afterwards the port is the same."""
    client.get("/assistants")
    with backboard.refuse_connections(), pytest.raises(httpx.ConnectError):
        create(client)

    assert create(client).status_code == 200


def test_a_call_under_way_is_lost_when_it_goes_down(client: httpx.Client, backboard: Sandbox) -> None:
    """Its work is never done."""
    backboard.next_create(faults.slow(0.25))
    with pytest.raises(httpx.ReadTimeout):
        create(client)
    with backboard.refuse_connections():
        time.sleep(0.15)

    assert backboard.alive(NAME) == []


def test_a_connection_can_be_accepted_and_closed(client: httpx.Client, backboard: Sandbox) -> None:
    """As many connections as planned are closed before a byte is read; the next one is served."""
    backboard.close_next_connections(1)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        create(client)

    assert create(client).status_code == 200
    assert len(backboard.calls()) == 1


def test_an_idle_connection_is_closed(backboard: Sandbox) -> None:
    """After a time that a switch sets."""
    backboard.switches.idle_seconds = 0.05
    address = httpx.URL(backboard.url)
    with socket.create_connection((address.host, address.port or 0), timeout=5) as raw:
        assert raw.recv(1) == b""


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /api/assistants HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /api/assistants HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000,
    ],
    ids=["no request", "bad header", "bad length", "too long", "endless head"],
)
def test_a_connection_without_http_is_closed(backboard: Sandbox, sent: bytes) -> None:
    """The ledger shows no call."""
    address = httpx.URL(backboard.url)
    with socket.create_connection((address.host, address.port or 0), timeout=5) as raw:
        raw.sendall(sent)
        try:
            rest = raw.recv(1)
        except ConnectionResetError:
            rest = b""

    assert (rest, backboard.calls()) == (b"", [])


def test_it_stops_at_once_with_calls_under_way() -> None:
    """Hanging, dripping and unread responses do not delay the end."""
    with Sandbox() as sandbox:
        address = httpx.URL(sandbox.url)
        sandbox.next("any", faults.hangs(), faults.hints(), backboard_faults.oversize(20_000_000), faults.late(60))
        request = b"GET /api/assistants HTTP/1.1\r\nHost: x\r\nX-API-Key: espr_local\r\n\r\n"
        clients = [socket.create_connection((address.host, address.port or 0)) for _ in range(4)]
        for client in clients:
            client.sendall(request)
        sandbox.wait_for(lambda: len(sandbox.calls()) == len(clients))
        started = time.monotonic()

    assert time.monotonic() - started < 1
    for client in clients:
        client.close()
