"""Refusals over raw sockets: each arrives and has one line, and the responses before it are not lost."""

import asyncio
import socket
import struct
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from tests.http.test_wire import BODY, HOST, request, server, status, talk
from tests.support.factories import event
from tools.processes import ServerProcess, responds

__all__ = ["server"]

pytestmark = pytest.mark.anyio

CHUNKED = b"POST /webhooks/clerk HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
CHUNKED += b"Transfer-Encoding: chunked\r\n"
FLOOD = 6 * 1024 * 1024


@pytest.fixture
def said(server: ServerProcess) -> Callable[[], list[str]]:
    """The lines that the server wrote during this test."""
    before = len(server.log.read_text())

    def since() -> list[str]:
        return server.log.read_text()[before:].splitlines()

    return since


Said = Callable[[], list[str]]


async def test_body_in_many_pieces_is_no_head(server: ServerProcess) -> None:
    """250 KB that come in several reads are a body, and not a header block above 32 KB."""
    whole = request(event("x.y", {"text": "x" * 250_000}))

    received = await talk(server, *(whole[i : i + 50_000] for i in range(0, len(whole), 50_000)), pause=0.05, seconds=1)

    assert status(received) == 200


UNREAD = {
    "announced": (request(b"", length=b"%d" % FLOOD), 413, "too_large"),
    "in chunks": (CHUNKED + b"\r\n%x\r\n" % FLOOD, 413, "too_large"),
    "to no path": (b"POST /nowhere HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % FLOOD, 404, "path"),
    "a head without an end": (b"GET /healthz HTTP/1.1\r\nX: ", 431, "head_too_large"),
}


@pytest.mark.parametrize(("head", "expected", "reason"), UNREAD.values(), ids=UNREAD.keys())
async def test_client_that_goes_on_sending_gets_the_response(
    server: ServerProcess, said: Said, head: bytes, expected: int, reason: str
) -> None:
    """Six megabytes that we do not read do not make the kernel reset the connection before the response arrives."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port)

    async with asyncio.timeout(20):
        writer.write(head)
        for _ in range(0, FLOOD, 65_536):
            writer.write(b"y" * 65_536)
            await writer.drain()
        received = await reader.read()
    writer.close()

    assert status(received) == expected
    assert len([line for line in said() if f"reason={reason} " in line]) == 1


NO_HTTP = {
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a chunk of ZZ": CHUNKED + b"\r\nZZ\r\n",
    "a chunk of 18 digits": CHUNKED + b"\r\n" + b"9" * 18 + b"\r\n",
    "a later chunk of ZZ": CHUNKED + b"\r\n2\r\n{}\r\nZZ\r\n",
    "a bad chunk before 100": CHUNKED + b"Expect: 100-continue\r\n\r\nZZ\r\n",
}


async def test_bytes_that_are_no_http_get_one_response_and_one_line(server: ServerProcess, said: Said) -> None:
    """With the id of the response, and no line of uvicorn's beside it."""
    await asyncio.sleep(1.1)  # Beyond the second in which another test may have used these lines up.
    received = [await talk(server, sent, seconds=1.0) for sent in NO_HTTP.values()]
    await asyncio.sleep(0.1)

    for answer in received:
        assert (status(answer), answer.count(b"HTTP/1.1 ")) == (400, 1)
        (request_id,) = [line[14:].decode() for line in answer.split(b"\r\n") if line.startswith(b"x-request-id: ")]
        (line,) = [line for line in said() if request_id in line]
        assert " status=400 reason=http " in line
    assert len(said()) == len(NO_HTTP)


BEHIND = {
    "no HTTP": b"garbage\r\n\r\n",
    "a body that breaks off": CHUNKED + b"\r\nZZ\r\n",
}


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND.keys())
@pytest.mark.parametrize("before", [1, 2])
async def test_refusal_waits_for_the_responses_before_it(server: ServerProcess, before: int, behind: bytes) -> None:
    """A good delivery is answered, even with garbage after it; the refusal comes last."""
    received = await talk(server, request(BODY) * before + behind, seconds=1.0)

    statuses = [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]
    assert statuses[:-1] == [200] * before
    assert statuses[-1] in (400, 431)


async def test_flood_of_forged_deliveries_is_summed_up(server: ServerProcess, said: Said) -> None:
    """Ten lines a second for one reason, and one that counts the rest; each accepted delivery has its line."""
    forged = request(BODY).replace(b"v1,", b"v1,A")
    right = [request(BODY, headers=HOST + b"X-Request-Id: %020d\r\n" % number) for number in range(20)]

    answers = await asyncio.gather(*(talk(server, *[forged * 25, one], seconds=1.0) for one in right))
    await asyncio.sleep(1.2)

    lines = said()
    assert sum(answer.count(b"HTTP/1.1 400") for answer in answers) == 500
    written = [line for line in lines if "event=webhook" in line and "reason=signature" in line]
    summed = [int(line.rpartition("count=")[2]) for line in lines if "event=refusals" in line]
    assert len(written) + sum(summed) == 500
    assert len(written) < 100
    assert all(any(f"request_id={number:020d}" in line for line in lines) for number in range(20))


TARGETS = {
    "absolute": (b"http://evil.example/webhooks/clerk", 200),
    "line ends": (b"/webhooks/clerk%0d%0aX-Forged:%20canary", 404),
    "a line end": (b"/webhooks/clerk%0a", 404),
    "NUL": (b"/webhooks/clerk%00", 404),
    "not text": (b"/webhooks/clerk%ff", 404),
    "a slash behind": (b"/webhooks/clerk/", 404),
    "two slashes": (b"//webhooks/clerk", 404),
    "a secret behind": (b"/webhooks/clerk?token=canary", 200),
}


async def test_path_is_taken_literally(server: ServerProcess) -> None:
    """No target is repaired, none becomes a redirect, and none is in the log or in a response."""
    before = len(server.log.read_text())
    for name, (target, expected) in TARGETS.items():
        received = await talk(server, request(BODY).replace(b"/webhooks/clerk", target, 1), seconds=0.3)

        assert status(received) == expected, name
        assert b"location" not in received.lower()
    said = server.log.read_text()[before:]
    assert len(said.splitlines()) == len(TARGETS)
    assert "evil" not in said


async def test_unusual_request_is_accepted(server: ServerProcess) -> None:
    """A header of 8 KB, and an unknown expectation."""
    large, strange = await asyncio.gather(
        talk(server, request(BODY, more=b"X: " + b"y" * 8192 + b"\r\n"), seconds=1.0),
        talk(server, request(BODY, more=b"Expect: foo\r\n"), seconds=1.0),
    )

    assert (status(large), status(strange)) == (200, 200)


async def test_reset_in_a_body_is_one_line(server: ServerProcess) -> None:
    """Nothing can be read or written any more."""
    before = len(server.log.read_text())
    with socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0)) as wire:
        wire.sendall(request(BODY)[:-5])
        await asyncio.sleep(0.2)
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await asyncio.sleep(0.3)

    (line,) = server.log.read_text()[before:].splitlines()
    assert " status=499 reason=client_disconnect " in line
    assert "level=info" in line


async def test_thousand_idle_connections_do_not_delay_a_request(server: ServerProcess) -> None:
    """They are silent, or in the middle of a head."""
    port = urlsplit(server.url).port
    opened = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(1000)))
    try:
        for number, (_, writer) in enumerate(opened):
            writer.write([b"", b"GET /heal"][number % 2])
        one = request(BODY, more=b"Connection: close\r\n")

        received = await asyncio.gather(*(talk(server, one, seconds=8.0) for _ in range(5)))

        assert [status(answer) for answer in received] == [200] * 5
        assert responds(server.url, "/healthz")()
    finally:
        for _, writer in opened:
            writer.close()
