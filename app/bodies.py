"""What may come in and how large, how a body is read, and how JSON goes out."""

import re
from collections.abc import Awaitable
from http import HTTPStatus
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from app.clerk_events import read_json
from app.errors import BadEvent
from app.headers import headers_named
from app.problems import CLOSE, Headers, Refusal

BODY_BYTES = 256 * 1024

Request = TypeVar("Request", bound=BaseModel)

_JSON = re.compile(rb'application/json[ \t]*(;[ \t]*charset=(?:utf-8|"utf-8")[ \t]*)?', re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,18}")

# Where the protocol leaves in a scope what it has answered itself, because the body broke off.
REFUSED = "app.refused"


async def read_json_body(scope: Scope, receive: Receive, cap: int = BODY_BYTES) -> bytes:
    """The body of a JSON request; judged by its headers before a byte is read, then read under a cap.

    How long it may take is the connection's to say (see protocol).
    """
    types = headers_named(scope, b"content-type")
    if len(types) != 1 or not _is_json(types[0]) or headers_named(scope, b"content-encoding"):
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content_type", headers=CLOSE)
    lengths = headers_named(scope, b"content-length")
    if lengths and (not _LENGTH.fullmatch(lengths[0]) or int(lengths[0]) > cap):
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", headers=CLOSE)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > cap:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", headers=CLOSE)
        if not message.get("more_body", False):
            return bytes(body)


def _is_json(media_type: bytes) -> bool:
    return media_type == b"application/json" or _JSON.fullmatch(media_type.strip()) is not None


async def read_request(scope: Scope, receive: Receive, model: type[Request], cap: int = BODY_BYTES) -> Request:
    """The body of a JSON request as its model; BadEvent for what is none."""
    document = read_json(await read_json_body(scope, receive, cap))
    try:
        return model.model_validate(document)
    except ValidationError:
        raise BadEvent("shape") from None


async def answer_nothing(send: Send) -> None:
    """Done, and there is nothing to say of it."""
    await send({"type": "http.response.start", "status": HTTPStatus.NO_CONTENT, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def answer_json(send: Send, status: int, content: Any, *, more: Headers | None = None) -> Awaitable[None]:
    """Send a JSON answer in two messages."""
    return answer_bytes(send, status, orjson.dumps(content), more=more)


async def answer_bytes(send: Send, status: int, body: bytes, *, more: Headers | None = None) -> None:
    """Send JSON that is written already."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *(more or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
