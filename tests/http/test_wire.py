"""Raw sockets against a real server: malformed requests, slow senders, upgrades, pipelines, trailers."""

import asyncio
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support import factories
from tests.support.canaries import found_in
from tests.support.factories import Person, event, signed
from tools.processes import ServerProcess, responds, wait_until
from tools.sandbox.backboard import Sandbox

pytestmark = pytest.mark.anyio

HOST = b"Host: x\r\n"
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"


@pytest.fixture
def server(lasting_server: ServerProcess, database: object, backboard: Sandbox) -> Iterator[ServerProcess]:  # noqa: ARG001  # Emptied.
    yield lasting_server
    assert responds(lasting_server.url, "/healthz")(), "the server must have lived through it"


async def talk(
    server: ServerProcess, *sent: bytes, seconds: float = 8.0, pause: float = 0.0, end: bool = False
) -> bytes:
    """Send pieces, and return everything that comes back until the server closes or falls silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port)
    try:
        for piece in sent:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        if end:
            writer.write_eof()
        return await _read(reader, seconds)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader, seconds: float) -> bytes:
    received = b""
    try:
        async with asyncio.timeout(seconds):
            while piece := await reader.read(65536):
                received += piece
    except (TimeoutError, ConnectionError):
        pass
    assert not found_in(received)
    return received


def status(received: bytes) -> int:
    return int(received.split(b" ", 2)[1]) if received.startswith(b"HTTP/1.1 ") else 0


def request(body: bytes = b"", *, more: bytes = b"", length: bytes | None = None, headers: bytes = HOST) -> bytes:
    """A delivery of `body`, rightly signed, as bytes."""
    known = "".join(f"{name}: {value}\r\n" for name, value in signed(body).items()).encode()
    announced = b"Content-Length: %s\r\n" % (str(len(body)).encode() if length is None else length)
    return b"POST /webhooks/clerk HTTP/1.1\r\n" + headers + known + announced + more + b"\r\n" + body


BODY = event("x.y", {})

REFUSED = {
    "no Host": (request(BODY, headers=b""), 400),
    "two Hosts": (request(BODY, headers=HOST + b"Host: y\r\n"), 400),
    "two Hosts in HTTP/1.0": (b"GET /healthz HTTP/1.0\r\n" + HOST + b"Host: y\r\n\r\n", 400),
    "the same Host twice in HTTP/1.0": (b"GET /healthz HTTP/1.0\r\n" + HOST + HOST + b"\r\n", 400),
    "an empty Host and another": (b"GET /healthz HTTP/1.1\r\nHost:\r\n" + HOST + b"\r\n", 400),
    "a Host in the address only": (b"GET http://x/healthz HTTP/1.1\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /healthz HTTP/0.9\r\n\r\n", 400),
    "length and chunks": (request(BODY, more=b"Transfer-Encoding: chunked\r\n"), 400),
    "two lengths": (request(BODY, more=b"Content-Length: 1\r\n"), 400),
    "a length of letters": (request(BODY, length=b"abc"), 400),
    "a chunk of ZZ": (b"POST /webhooks/clerk HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", 400),
    "NUL in a header": (request(BODY, more=b"X: a\0b\r\n"), 400),
    "blank before the colon": (request(BODY, more=b"svix-x : y\r\n"), 400),
    "bare CR": (request(BODY, more=b"X: a\rb\r\n"), 400),
    "an invented method": (b"FOO /webhooks/clerk HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a raw byte in the path": (b"POST /\xff HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n", 400),
    "dots in the path": (b"POST /a/../webhooks/clerk HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n", 404),
    "not HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "ten megabytes announced": (request(b"", length=b"10000000"), 413),
    "a header of 40 KB": (request(BODY, more=b"X: " + b"y" * 40_000 + b"\r\n"), 431),
}


async def test_malformed_http_is_refused(server: ServerProcess, backboard: Sandbox) -> None:
    """In one response, after which the connection is closed; Backboard is not called."""
    received = await asyncio.gather(*(talk(server, sent, seconds=2.0) for sent, _ in REFUSED.values()))

    wrong = {
        name: answer[:60] for (name, (_, wanted)), answer in zip(REFUSED.items(), received, strict=True)
        if status(answer) != wanted and not (wanted == 431 and status(answer) == 400)
    }  # fmt: skip
    assert wrong == {}
    assert backboard.calls() == []


BARE = b"GET /healthz HTTP/1.0\r\n"

TAKEN = {
    "HAProxy's check": BARE + b"\r\n",
    "Nagios' check": BARE + b"User-Agent: check_http/v2.3\r\nConnection: close\r\n\r\n",
    "HEAD": b"HEAD /healthz HTTP/1.0\r\n\r\n",
    "kept alive, as ab asks": BARE + b"Connection: Keep-Alive\r\n\r\n",
    "1.0 with a Host": BARE + HOST + b"\r\n",
    "an upgrade in 1.0": BARE + UPGRADE + b"\r\n",
    "another path": b"GET /metrics HTTP/1.0\r\n\r\n",
    "an empty Host": b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n",
    "the whole address": b"GET http://x/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
}


async def test_checks_of_load_balancers_are_answered(server: ServerProcess) -> None:
    """HTTP/1.0 knows no Host; 1.1 asks for one, which may be empty."""
    received = await asyncio.gather(*(talk(server, sent, seconds=1.0) for sent in TAKEN.values()))

    assert {name: status(answer) for name, answer in zip(TAKEN, received, strict=True)} == dict.fromkeys(TAKEN, 200)


async def test_head_without_an_end_is_cut(server: ServerProcess) -> None:
    """Two megabytes of a header are never collected."""
    received = await talk(server, b"GET /healthz HTTP/1.1\r\nX: ", *[b"y" * 65536] * 32, seconds=3.0)

    assert status(received) in (0, 400, 431)


async def test_slow_senders_are_cut(server: ServerProcess, backboard: Sandbox) -> None:
    """A silent connection and a head that drips or stops after 10 s, a body that stops or drips after 5.

    A head has its time from its own first byte, also after another request, and the response to that is not lost.
    """

    async def timed(*sent: bytes, pause: float = 0.0) -> tuple[float, list[int]]:
        started = time.monotonic()
        received = await talk(server, *sent, seconds=14.0, pause=pause)
        return time.monotonic() - started, [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]

    half = request(BODY)[:-5]
    drip = [request(BODY)[: -len(BODY)], *(bytes([byte]) for byte in BODY[:12])]
    said_before = len(server.log.read_text())
    silent, dripping_head, second_head, stopped, dripping = await asyncio.gather(
        timed(),
        timed(*[b"GET"[i : i + 1] for i in range(3)], pause=0.5),
        timed(request(BODY)[:20], request(BODY)[20:] + b"GET /heal", pause=1.5),
        timed(half),
        timed(*drip, pause=0.45),
    )

    assert [one[1] for one in (silent, dripping_head, second_head)] == [[], [408], [200, 408]]
    assert 8 < silent[0] < 12
    assert 8 < dripping_head[0] < 12
    assert 11 < second_head[0] < 14
    assert stopped[1] == [408]
    assert 4 < stopped[0] < 7
    assert dripping[1] == [408]
    assert backboard.calls() == []
    said = server.log.read_text()[said_before:].splitlines()
    for reason in ("head_timeout", "body_timeout"):
        assert len([line for line in said if f"status=408 reason={reason}" in line]) == 2


async def test_chunked_body_is_accepted(server: ServerProcess) -> None:
    known = "".join(f"{name}: {value}\r\n" for name, value in signed(BODY).items()).encode()
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    sent = b"POST /webhooks/clerk HTTP/1.1\r\n" + HOST + known + b"Transfer-Encoding: chunked\r\n\r\n" + chunk

    assert status(await talk(server, sent, seconds=1.0)) == 200


async def test_two_requests_on_one_connection_get_two_responses(server: ServerProcess) -> None:
    """Each with a request id of its own; the bytes after a body are the next request."""
    received = await talk(server, request(BODY) + request(BODY), seconds=1.0)

    ids = [line for line in received.split(b"\r\n") if line.startswith(b"x-request-id")]
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert len(set(ids)) == 2


async def test_expect_100_continue_is_answered(server: ServerProcess) -> None:
    """100 first, then as usual."""
    head, body = request(BODY, more=b"Expect: 100-continue\r\n").split(b"\r\n\r\n", 1)

    received = await talk(server, head + b"\r\n\r\n", body, pause=0.2, seconds=1.0)

    assert received.startswith(b"HTTP/1.1 100 Continue")
    assert b"HTTP/1.1 200 OK" in received


async def test_client_that_disconnects_in_a_body_is_one_line(server: ServerProcess) -> None:
    """Without a traceback."""
    before = len(server.log.read_text())
    await talk(server, request(BODY)[:-5], seconds=0.1, end=True)
    await asyncio.sleep(0.3)

    said = server.log.read_text()[before:].splitlines()

    (line,) = [line for line in said if "client_disconnect" in line]
    assert "event=webhook" in line
    assert "Traceback" not in "".join(said)


async def test_user_is_made_even_if_the_client_disconnects(server: ServerProcess, backboard: Sandbox) -> None:
    """The attempt goes on to its end, and the next call finds the user."""
    backboard.switches.latency = 0.5
    person = Person()
    body = json.dumps({"clerk_id": person.clerk_id}).encode()
    head = (
        b"POST /ensure-user HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\n"
        % (factories.TOKEN.encode())
    )
    sent = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    await talk(server, sent, seconds=0.2)
    await asyncio.sleep(1.0)

    received = await talk(server, sent, seconds=1.0)

    assert status(received) == 200
    assert len(backboard.made(person.assistant_name)) == 1


async def test_upgrade_is_ignored(server: ServerProcess) -> None:
    """Java's client asks for one in every request; its body is a body, in one piece or many, and the next is served."""
    asked = request(BODY, more=UPGRADE)
    pieces = [asked[:90], asked[90:-30], asked[-30:-10], asked[-10:]]

    whole, broken, two = await asyncio.gather(
        talk(server, asked, seconds=1.0),
        talk(server, *pieces, pause=0.1, seconds=1.0),
        talk(server, asked + asked, seconds=1.0),
    )

    assert (status(whole), status(broken)) == (200, 200)
    assert two.count(b"HTTP/1.1 200 OK") == 2
    assert "WebSocket" not in server.log.read_text()


async def test_body_after_an_upgrade_is_no_request(server: ServerProcess) -> None:
    """The parser would take it for the next one."""
    inner = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    head = b"POST /webhooks/clerk HTTP/1.1\r\n" + HOST + UPGRADE
    sent = head + b"Content-Length: %d\r\n\r\n" % len(inner)

    received = await talk(server, sent, inner, pause=0.2, seconds=1.0)

    assert status(received) == 415
    assert received.count(b"HTTP/1.1 ") == 1
    assert status(await talk(server, b"CONNECT x:80 HTTP/1.1\r\n" + HOST + b"\r\n", seconds=1.0)) == 400


@pytest.mark.parametrize("more", [b"", b"Connection: Upgrade\r\nUpgrade: x\r\n"], ids=["plain", "upgrades"])
async def test_read_full_of_requests_is_answered_up_to_a_hundred(server: ServerProcess, more: bytes) -> None:
    """The one under way, a hundred that wait, and then a refusal; an upgrade makes no difference."""
    asked = b"GET /healthz HTTP/1.1\r\n" + HOST + more + b"\r\n"

    fits, too_many = await talk(server, asked * 101, seconds=1.0), await talk(server, asked * 1000, seconds=3.0)

    assert fits.count(b"HTTP/1.1 200 OK") == fits.count(b"HTTP/1.1 ") == 101
    assert too_many.count(b"HTTP/1.1 200 OK") == 101
    assert too_many.count(b"HTTP/1.1 ") == 102
    assert b"HTTP/1.1 400" in too_many


CHUNKED = b"POST /webhooks/clerk HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
CHUNKED += b"Transfer-Encoding: chunked\r\n\r\n"


async def test_trailer_without_an_end_is_cut(server: ServerProcess) -> None:
    """It is as long as a head may be; the parser would copy one of megabytes again with every piece of it."""
    received = await talk(server, CHUNKED + b"2\r\n{}\r\n0\r\nX: ", *[b"y" * 65536] * 16, seconds=3.0)

    assert status(received) == 431
    assert received.count(b"HTTP/1.1 ") == 1


async def test_chunks_of_one_byte_are_a_body(server: ServerProcess) -> None:
    """However much more their sizes are than they."""
    pieces = [b"1\r\n{\r\n" * 4000] * 5

    received = await talk(server, CHUNKED, *pieces, b"0\r\n\r\n", pause=0.05, seconds=1.0)

    assert status(received) == 400
    assert b"head_too_large" not in received


async def test_client_that_never_reads_is_cut(server: ServerProcess) -> None:
    """Otherwise the connection, and the responses to it, would stay for as long as the client does."""
    asked = b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n"
    with socket.socket() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        wire.connect(("127.0.0.1", urlsplit(server.url).port))
        wire.setblocking(False)  # noqa: FBT003  # The standard library's.
        wire.send(asked * 600)
        await asyncio.sleep(1)
        assert is_held(server, wire)

        await asyncio.to_thread(wait_until, lambda: not is_held(server, wire), 40)


def is_held(server: ServerProcess, wire: socket.socket) -> bool:
    """Whether a process still holds the server's side of a connection; one that only the kernel keeps has no inode."""
    ends = f":{urlsplit(server.url).port:04X} [0-9A-F]*0100007F:{wire.getsockname()[1]:04X} "
    known = "".join(Path(f"/proc/net/{family}").read_text() for family in ("tcp", "tcp6"))
    lines = [line for line in known.splitlines() if re.search(ends, line)]
    return any(line.split()[9] != "0" for line in lines)
