"""How a web process ends: signals, kills, and clients at every stage of their request, none of which is reset."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from tests.http.test_wire import request, status
from tests.support.factories import Person, user_created
from tests.support.service import connected_to
from tools.processes import ServerProcess, children_of, is_running, responds, wait_until
from tools.sandbox.backboard import Sandbox

pytestmark = pytest.mark.anyio

StartServer = Callable[..., ServerProcess]
HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
READYZ = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"


def workers_of(server: ServerProcess) -> list[int]:
    """The processes that serve: the children of a supervisor, or the only process."""
    return children_of(server.pid) or [server.pid]


async def connect(server: ServerProcess) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port)


async def ask_once(server: ServerProcess, sent: bytes = HEALTHZ) -> str:
    """Connect and ask; `200` or another status, `refused`, or `reset` for a connection lost without an answer."""
    try:
        reader, writer = await connect(server)
    except ConnectionRefusedError:
        return "refused"
    try:
        writer.write(sent)
        return str(status(await reader.read()) or "reset")
    except ConnectionError:
        return "reset"
    finally:
        writer.close()


@pytest.mark.parametrize("processes", [1, 2])
async def test_client_that_connected_before_sigterm_is_answered(start_server: StartServer, processes: int) -> None:
    """Also if the process had not accepted the connection yet: the kernel takes it and the request on its own."""
    server = start_server(WEB_CONCURRENCY=str(processes))
    workers = workers_of(server)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    asking = [asyncio.create_task(ask_once(server)) for _ in range(12)]
    await asyncio.sleep(0.3)
    server.send(signal.SIGTERM)
    await asyncio.sleep(0.3)
    for worker in workers:
        os.kill(worker, signal.SIGCONT)

    assert await asyncio.gather(*asking) == ["200"] * 12
    await asyncio.to_thread(server.wait, 20)


async def test_client_that_connects_after_sigterm_is_refused_and_never_reset(
    start_server: StartServer, backboard: Sandbox
) -> None:
    """While a request under way is still waited for, and all through the end."""
    backboard.switches.latency = 1.5
    server = start_server(WEB_CONCURRENCY="2")
    seen: list[str] = []
    async with connected_to(server) as service:
        under_way = asyncio.create_task(service.deliver(user_created(Person())))
        await asyncio.to_thread(backboard.wait_for, lambda: len(backboard.calls(kind="create")) == 1)
        server.send(signal.SIGTERM)
        while server.exit_code is None:
            async with asyncio.timeout(10):
                seen += await asyncio.gather(*(ask_once(server) for _ in range(4)))
            await asyncio.sleep(0.01)
        answer = await under_way

    assert answer.json() == {"outcome": "created"}
    assert set(seen) <= {"200", "refused"}
    assert seen[-1] == "refused"


async def test_kept_connection_may_bring_one_request_after_sigterm(start_server: StartServer) -> None:
    """/readyz is 503, and every response says that it is the last."""
    server = start_server()
    connections = [await connect(server) for _ in range(2)]
    for reader, writer in connections:
        writer.write(HEALTHZ)
        assert status(await reader.readuntil(b"}")) == 200
    server.send(signal.SIGTERM)
    await asyncio.to_thread(wait_until, lambda: not responds(server.url, "/healthz")())

    received = []
    for (reader, writer), sent in zip(connections, (READYZ, HEALTHZ), strict=True):
        writer.write(sent)
        received.append(await asyncio.wait_for(reader.read(), 15))
        writer.close()

    assert [status(answer) for answer in received] == [503, 200]
    assert b'"stopping"' in received[0]
    assert all(b"connection: close" in answer.lower() for answer in received)


async def test_unfinished_requests_do_not_hold_up_the_end(start_server: StartServer) -> None:
    """Silent connections, half a head, half a body, and SIGTERM again and again: it ends within 20 s, by itself."""
    server = start_server()
    whole = request(user_created(Person()))
    sent = [b"", whole[:40], whole[:-5], HEALTHZ]
    connections = [await connect(server) for _ in sent]
    for (_, writer), piece in zip(connections, sent, strict=True):
        writer.write(piece)
    await asyncio.sleep(0.3)
    told_at = time.monotonic()
    while server.exit_code is None and time.monotonic() < told_at + 30:
        server.send(signal.SIGTERM)
        await asyncio.sleep(0.2)

    assert server.exit_code in (0, -signal.SIGTERM)
    assert time.monotonic() - told_at < 20
    received = [await reader.read() for reader, _ in connections]
    for _, writer in connections:
        writer.close()
    assert [status(answer) for answer in received] == [0, 0, 408, 200]


async def test_workers_end_when_their_supervisor_is_killed(start_server: StartServer, backboard: Sandbox) -> None:
    """Killed with -9 it cannot tell them; they finish their requests and leave the port."""
    backboard.switches.latency = 1.0
    server = start_server(WEB_CONCURRENCY="2")
    workers = workers_of(server)
    async with connected_to(server) as service:
        under_way = asyncio.create_task(service.deliver(user_created(Person())))
        await asyncio.to_thread(backboard.wait_for, lambda: len(backboard.calls(kind="create")) == 1)
        server.kill()
        answer = await under_way

    assert len(workers) == 2
    assert answer.json() == {"outcome": "created"}
    await asyncio.to_thread(wait_until, lambda: not any(is_running(worker) for worker in workers))
    assert await ask_once(server) == "refused"


def test_worker_that_dies_is_replaced(start_server: StartServer) -> None:
    """Afterwards all of them still end on SIGTERM."""
    server = start_server(WEB_CONCURRENCY="2")
    first, other = workers_of(server)
    os.kill(first, signal.SIGKILL)

    wait_until(lambda: len(workers_of(server)) == 2 and first not in workers_of(server))

    os.kill(other, signal.SIGKILL)
    wait_until(lambda: other not in workers_of(server) and len(workers_of(server)) == 2)
    wait_until(responds(server.url))
    workers = workers_of(server)
    server.stop()
    assert not any(is_running(worker) for worker in workers)
