"""HTTP/1.1 of the stand-ins on asyncio streams: reads requests whole, sends replies well or badly.

Its own, because what the service must survive (a cut body, endless 103s, a connection reset) is what HTTP
servers exist to prevent.
"""

import asyncio
import contextlib
import socket
import struct
from http.client import responses
from urllib.parse import parse_qsl, unquote, urlsplit

from tools.sandbox.backboard_faults import Fault, Wire
from tools.sandbox.backboard_messages import Reply, Request

HEAD_BYTES = 64 * 1024
BODY_BYTES = 16 * 1024 * 1024


class NotHttp(Exception):
    """What arrived is no request that this server reads; the connection is closed."""


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection, or None if the client left between two."""
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
        pass  # A trailer, which says nothing to us.
    return bytes(body)


def _at_most(size: int) -> int:
    if size > BODY_BYTES:
        raise ValueError(size)
    return size


async def send(
    writer: asyncio.StreamWriter, reader: asyncio.StreamReader, reply: Reply, fault: Fault, *, head_only: bool
) -> bool:
    """Send `reply` as `fault` wants it; whether the connection is still good for another request."""
    head, body = _head(reply), b"" if head_only else reply.body
    match fault.wire:
        case Wire.WHOLE:
            writer.write(head + body)
        case Wire.NOT_AT_ALL:
            await reader.read()
        case Wire.RESET:
            _reset(writer)
        case Wire.CUT:
            writer.write(head + body[: len(body) // 2])
        case Wire.HEAD_DRIPS:
            await _drip(writer, head + body, fault.pace)
        case Wire.BODY_DRIPS:
            writer.write(head)
            await _drip(writer, body, fault.pace)
        case Wire.EARLY_HINTS:
            while True:
                await _drip(writer, b"HTTP/1.1 103 Early Hints\r\n\r\n", fault.pace, at_once=True)
    await writer.drain()
    return fault.wire in {Wire.WHOLE, Wire.HEAD_DRIPS, Wire.BODY_DRIPS}


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def _drip(writer: asyncio.StreamWriter, data: bytes, pace: float, *, at_once: bool = False) -> None:
    """Send byte by byte, or in one piece; ends with a ConnectionError once the client has left."""
    step = len(data) if at_once else 1
    for start in range(0, len(data), step):
        writer.write(data[start : start + step])
        await writer.drain()
        await asyncio.sleep(pace)


def _head(reply: Reply) -> bytes:
    reason = responses.get(reply.status, "Unknown")
    lines = [f"HTTP/1.1 {reply.status} {reason}", f"Content-Length: {len(reply.body)}"]
    lines += [f"{name}: {value}" for name, value in reply.headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset: a linger time of zero throws away what was not sent."""
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
