"""What may come in and how large, how a body is read, and how JSON goes out."""

import asyncio
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import orjson
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from app.problems import Headers, Refusal

HEAD_BYTES = 32 * 1024
BODY_BYTES = 256 * 1024
# From the first byte of the request to the last one of its body.
BODY_SECONDS = 5.0

_JSON = re.compile(rb'application/json[ \t]*(;[ \t]*charset=(?:utf-8|"utf-8")[ \t]*)?', re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,18}")

# Where the protocol leaves in a scope what it has answered itself, because the body broke off.
REFUSED = "app.refused"

# An answer sent before the body was read leaves bytes in the connection that nobody may take for a request.
CLOSE: Headers = [(b"connection", b"close")]


def headers_named(scope: Scope, name: bytes) -> Sequence[bytes]:
    """All values of a header, as they came; a dict of single values would hide that it stands twice."""
    by_name: dict[bytes, list[bytes]] | None = scope.get("headers_by_name")
    if by_name is None:
        by_name = scope["headers_by_name"] = {}
        for key, value in scope["headers"]:
            by_name.setdefault(key, []).append(value)
    return by_name.get(name, ())


async def read_json_body(scope: Scope, receive: Receive) -> bytes:
    """The body of a JSON request; judged by its headers before a byte is read, then read under a cap and a limit."""
    types = headers_named(scope, b"content-type")
    if len(types) != 1 or not _JSON.fullmatch(types[0].strip()) or headers_named(scope, b"content-encoding"):
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content_type", headers=CLOSE)
    lengths = headers_named(scope, b"content-length")
    if lengths and (not _LENGTH.fullmatch(lengths[0]) or int(lengths[0]) > BODY_BYTES):
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", headers=CLOSE)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _read(receive)
    except TimeoutError:
        raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "body_timeout", headers=CLOSE) from None


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > BODY_BYTES:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", headers=CLOSE)
        if not message.get("more_body", False):
            return bytes(body)


async def answer_json(send: Send, status: int, content: Any, *, more: Headers | None = None) -> None:
    """Send a JSON answer in two messages."""
    await answer_bytes(send, status, orjson.dumps(content), more=more)


async def answer_bytes(send: Send, status: int, body: bytes, *, more: Headers | None = None) -> None:
    """Send JSON that is written already."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *(more or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
