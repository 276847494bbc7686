"""HTTP/1.1 of the stand-ins on asyncio streams: reads whole requests, sends responses as a fault wants them.

Written here, because what the service must survive (a cut body, endless 103s, a connection reset) is what HTTP servers
exist to prevent.
"""

import asyncio
import socket
import struct
from collections.abc import Iterable, Iterator
from http.client import responses
from urllib.parse import parse_qsl, unquote, urlsplit

from tools.sandbox.faults import Fault, Wire
from tools.sandbox.http import Request, Response
from tools.sandbox.loopback import HangUp

BODY_BYTES = 16 * 1024 * 1024


class NotHttp(HangUp):
    """The bytes that arrived are no request that this server reads."""


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Read the next request of a connection; None if the client left between two."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError:
        raise NotHttp from None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    try:
        method, target, _ = first.split(" ")
        headers = dict(_header(line) for line in lines)
        url = urlsplit(target)
        body = await _read_body(reader, headers)
    except (ValueError, asyncio.IncompleteReadError):
        raise NotHttp from None
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    return Request(method, unquote(url.path), query, headers, body, url.query)


def _header(line: str) -> tuple[str, str]:
    name, value = line.split(":", 1)
    return name.lower(), value.strip()


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _read_chunks(reader)
    return await reader.readexactly(_at_most(int(headers.get("content-length", "0"))))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        body += await reader.readexactly(_at_most(len(body) + size) - len(body))
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # A trailer, which is of no interest here.
    return bytes(body)


def _at_most(size: int) -> int:
    if size > BODY_BYTES:
        raise ValueError(size)
    return size


async def send(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request, response: Response, fault: Fault
) -> bool:
    """Send the response as the fault wants it; return whether the connection serves another request."""
    head, pieces = _head(response), [] if request.method == "HEAD" else _pieces(response)
    body = b"".join(pieces)
    match fault.wire:
        case Wire.WHOLE if response.pace:
            await _drip(writer, [head, *pieces], response.pace)
        case Wire.WHOLE:
            writer.write(head + body)
        case Wire.NOT_AT_ALL:
            await reader.read()
        case Wire.RESET:
            _reset(writer)
        case Wire.CUT:
            writer.write(head + body[: len(body) // 2])
        case Wire.HEAD_DRIPS:
            await _drip(writer, _single_bytes(head + body), fault.pace)
        case Wire.BODY_DRIPS:
            writer.write(head)
            await _drip(writer, _single_bytes(body), fault.pace)
        case Wire.EARLY_HINTS:
            while True:
                await _drip(writer, [b"HTTP/1.1 103 Early Hints\r\n\r\n"], fault.pace)
    await writer.drain()
    return request.keeps_alive and fault.wire in {Wire.WHOLE, Wire.HEAD_DRIPS, Wire.BODY_DRIPS}


async def _drip(writer: asyncio.StreamWriter, pieces: Iterable[bytes], pace: float) -> None:
    """Send piece by piece; ends with a ConnectionError once the client has left."""
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(pace)


def _single_bytes(data: bytes) -> Iterator[bytes]:
    return (data[start : start + 1] for start in range(len(data)))


def _head(response: Response) -> bytes:
    reason = responses.get(response.status, "Unknown")
    framing = "Transfer-Encoding: chunked" if response.is_stream else f"Content-Length: {len(response.body)}"
    lines = [f"HTTP/1.1 {response.status} {reason}", framing]
    lines += [f"{name}: {value}" for name, value in response.headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _pieces(response: Response) -> list[bytes]:
    """The body in the pieces that travel apart: the events of a stream as chunks, with the last chunk behind them."""
    if not response.is_stream:
        return [response.body]
    return [*(b"%x\r\n%b\r\n" % (len(event), event) for event in response.events), b"0\r\n\r\n"]


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset: a linger time of zero discards what was not sent."""
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
