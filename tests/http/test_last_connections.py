"""The end of a listening socket: who is taken, who is refused, and that no client is reset."""

import asyncio
import errno
import select
import socket
import sys
from collections.abc import Iterator

import pytest

from app.http import last_connections
from app.http.last_connections import close_for_good, refuse_new_connections, take_last_connections

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="there is no such filter"),
]


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["IPv4", "both"])
def listening(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    """A socket that listens on IPv4, or on IPv6 and IPv4."""
    with socket.socket(request.param) as listening:
        if request.param == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind(("", 0))
        listening.listen(8)
        yield listening


def connecting(listening: socket.socket) -> socket.socket:
    """A client whose handshake may be under way."""
    client = socket.socket()
    client.setblocking(False)  # noqa: FBT003  # The standard library's.
    assert client.connect_ex(("127.0.0.1", listening.getsockname()[1])) in (0, errno.EINPROGRESS)
    return client


def is_connected(client: socket.socket) -> bool:
    return bool(select.select([], [client], [], 0.1)[1])


def test_a_client_that_begins_afterwards_is_not_connected(listening: socket.socket) -> None:
    """So it cannot be reset. One that was connected before still waits in the queue."""
    with connecting(listening) as before:
        assert is_connected(before)
        refuse_new_connections(listening)
        with connecting(listening) as after:
            assert not is_connected(after)

        accepted, _ = listening.accept()
        with accepted:
            before.sendall(b"asked")
            assert accepted.recv(10) == b"asked"


def test_a_closed_port_refuses(listening: socket.socket) -> None:
    """At once, although the filter would have let clients wait."""
    port = listening.getsockname()[1]
    refuse_new_connections(listening)
    close_for_good(listening)

    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


async def answered(listening: socket.socket) -> bytes:
    """What a client gets whose handshake ends a moment after we have begun to stop; empty if it is reset."""
    # Until its first bytes arrive, the kernel holds back the end of the handshake.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
    loop = asyncio.get_running_loop()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(10))
        writer.close()

    server = await asyncio.start_server(answer, sock=listening)
    with connecting(listening) as client:
        await loop.sock_sendall(client, b"") if is_connected(client) else pytest.fail("it is not connected")
        refuse_new_connections(listening)
        stopping = asyncio.create_task(take_last_connections(listening, seconds=1.0))
        await asyncio.sleep(0.03)
        await loop.sock_sendall(client, b"asked")
        await stopping
        server.close()
        try:
            return await asyncio.wait_for(loop.sock_recv(client, 10), 5)
        except ConnectionError:
            return b""


async def test_a_handshake_under_way_ends(listening: socket.socket) -> None:
    """Its client is answered."""
    assert await answered(listening) == b"asked"


async def test_without_a_wait_its_client_would_be_reset(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the test before this one shows something."""
    monkeypatch.setattr(last_connections, "HANDSHAKE_SECONDS", 0.0)

    assert await answered(listening) == b""
