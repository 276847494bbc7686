"""The sandbox misbehaves below HTTP: answers missing, cut or trickling, connections refused or idle."""

import socket
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.support.factories import API_KEY
from tools.sandbox import faults
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard import faults as backboard_faults
from tools.sandbox.faults import Fault

NAME = "clerk:user_sandbox"


@pytest.fixture
def client(backboard: Sandbox) -> Iterator[httpx.Client]:
    # Not verifying saves loading the certificates, which plain HTTP does not need.
    with httpx.Client(
        base_url=backboard.url,
        headers={"X-API-Key": API_KEY, "Accept-Encoding": "identity"},
        trust_env=False,
        verify=False,
        timeout=httpx.Timeout(5, read=0.15),
    ) as client:
        yield client


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
def test_an_answer_can_fail_to_come(
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
    """The work is done, and the answer ends in its middle."""
    backboard.next_create(faults.cuts())

    with pytest.raises(httpx.RemoteProtocolError):
        create(client)

    assert len(backboard.alive(NAME)) == 1


@pytest.mark.parametrize(
    "fault",
    [faults.drips(pace=0.01), faults.drips(head=True, pace=0.01), faults.hints(pace=0.01)],
    ids=str,
)
def test_an_answer_can_trickle(client: httpx.Client, backboard: Sandbox, fault: Fault) -> None:
    """Bytes or 103s keep coming, each soon enough for a read timeout, and the answer does not end."""
    backboard.make_assistant("x")
    backboard.next_lookup(fault)
    request = f"GET /api/assistants?name=x HTTP/1.1\r\nHost: x\r\nX-API-Key: {API_KEY}\r\n\r\n"
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=0.5) as raw:
        raw.sendall(request.encode())
        pieces = [raw.recv(4096) for _ in range(20)]

    assert all(pieces)
    assert b"}]" not in b"".join(pieces)


def test_a_trickle_ends_well_for_the_patient(client: httpx.Client, backboard: Sandbox) -> None:
    """What dripped is the right answer, and the connection serves the next call."""
    backboard.next_create(faults.drips(pace=0), faults.drips(head=True, pace=0))

    answers = [create(client).json()["assistant_id"] for _ in range(2)]

    assert answers == [made.id for made in backboard.alive(NAME)]


def test_connections_can_be_refused(client: httpx.Client, backboard: Sandbox) -> None:
    """While it is down nothing is connected, the pooled connection included; afterwards the port is the same."""
    client.get("/assistants")
    with backboard.refuse_connections(), pytest.raises(httpx.ConnectError):
        create(client)

    assert create(client).status_code == 200


def test_what_was_under_way_is_lost_when_it_goes_down(client: httpx.Client, backboard: Sandbox) -> None:
    """A crash of the partner takes the call with it."""
    backboard.next_create(faults.slow(0.25))
    with pytest.raises(httpx.ReadTimeout):
        create(client)
    with backboard.refuse_connections():
        time.sleep(0.15)

    assert backboard.alive(NAME) == []


def test_a_connection_can_be_accepted_and_closed(client: httpx.Client, backboard: Sandbox) -> None:
    """So many connections are closed before a byte is read, and the next one is served."""
    backboard.close_next_connections(1)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        create(client)

    assert create(client).status_code == 200
    assert len(backboard.calls()) == 1


def test_an_idle_connection_is_closed(backboard: Sandbox) -> None:
    """A server's patience with a silent client can be set."""
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
def test_what_is_not_http_is_hung_up_on(backboard: Sandbox, sent: bytes) -> None:
    """Garbage closes its own connection, and counts as no call."""
    address = httpx.URL(backboard.url)
    with socket.create_connection((address.host, address.port or 0), timeout=5) as raw:
        raw.sendall(sent)
        try:
            rest = raw.recv(1)
        except ConnectionResetError:
            rest = b""

    assert (rest, backboard.calls()) == (b"", [])


def test_it_stops_at_once_whatever_is_under_way() -> None:
    """Hung, dripping and unread answers do not hold up the end."""
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
