"""A request's headers, each with all of its values, and its JSON body, read under a cap and parsed strictly."""

import asyncio
import json
import math
import re
from collections.abc import Callable, Coroutine, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from app.errors import Fault, InvalidRequest
from app.http.bodies import budget_of
from app.http.memory import SMALL_BYTES
from app.http.responses import CLOSE, HttpError

Result = TypeVar("Result")

HEAD_BYTES = 32 * 1024
HEAD_FIELDS = 100

_BY_NAME = "app.headers"


def index_headers(scope: Scope) -> int:
    """Prepare `headers_named`; returns the size of all names and values in bytes."""
    by_name: dict[bytes, list[bytes]] = {}
    size = 0
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        if name in by_name:
            by_name[name].append(value)
        else:
            by_name[name] = [value]
    scope[_BY_NAME] = by_name
    return size


def headers_named(scope: Scope, name: bytes) -> Sequence[bytes]:
    """All values of a header: a dict of single values would hide a header that is sent twice."""
    values: Sequence[bytes] = scope[_BY_NAME].get(name, ())
    return values


BODY_BYTES = 256 * 1024

_JSON = re.compile(rb'application/json[ \t]*(;[ \t]*charset=(?:utf-8|"utf-8")[ \t]*)?', re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,18}")

# Where the protocol records in the scope that nothing more is received or sent, with fields for the closing line: the
# client has disconnected, or its body broke off and was refused.
DISCONNECTED = "app.disconnected"


async def read_json(scope: Scope, receive: Receive, cap: int = BODY_BYTES, *, owner: str | None) -> bytes:
    """The bytes of a JSON body. Its headers can refuse it before a byte is read; `cap` bounds what is read.

    A large body also needs its share of the memory for all of them, as that of `owner` (app.http.bodies). The
    connection limits the time that a body may take (app.http.protocol).
    """
    types = headers_named(scope, b"content-type")
    if len(types) != 1 or not _is_json(types[0]) or headers_named(scope, b"content-encoding"):
        raise HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content_type", headers=CLOSE)
    announced = announced_length(scope, cap)
    if announced > cap:
        raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", headers=CLOSE)
    reserved = False

    def reserve(length: int) -> None:
        nonlocal reserved
        if length > SMALL_BYTES and not reserved:
            budget_of(scope).reserve(scope, announced, owner)
            reserved = True

    return await collect_body(receive, cap, reserve)


async def collect_body(receive: Receive, cap: int, grown: Callable[[int], None] | None = None) -> bytes:
    """The whole body; HttpError as soon as it is over `cap` bytes.

    `grown` gets its length after each piece but the last.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > cap:
            raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", headers=CLOSE)
        if not message.get("more_body", False):
            return bytes(body)
        if grown is not None:
            grown(len(body))


async def while_connected(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """What work returns; when the client leaves, it is cancelled and this raises ClientDisconnect.

    For work that changes nothing and of which there is much, such as the searches of a person who types.
    """
    task, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_until_disconnect(receive))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        leaving.cancel()
        await asyncio.wait({task, leaving})


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def announced_length(scope: Scope, cap: int) -> int:
    """How long the body will be, in bytes. Without an announcement as long as the cap, with a malformed one longer."""
    lengths = headers_named(scope, b"content-length")
    if not lengths:
        return cap
    return int(lengths[0]) if _LENGTH.fullmatch(lengths[0]) else cap + 1


def _is_json(media_type: bytes) -> bool:
    return media_type == b"application/json" or _JSON.fullmatch(media_type.strip()) is not None


# The whitespace of JSON; str.strip() would take more.
_WHITESPACE = " \t\n\r"
# Of an integer. Python takes as long for one of 4,000 digits, and again to write it, as for 1,000 short ones. Postgres
# writes the largest number that is taken with an exponent, 1.797e308, with so many.
MOST_DIGITS = 309


class LongInteger:
    """What `parse_json` reads in the place of an integer of more digits. No model takes it and nothing writes it."""


def parse_json(body: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8 without duplicate keys, NaN or infinite numbers; InvalidRequest for anything else.

    Parsers disagree about those, so Postgres or the chat could read the same bytes differently.
    """
    try:
        text = body.decode().strip(_WHITESPACE)
        document, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("json", Fault(pointer="#")) from error
    if not isinstance(document, dict) or end != len(text):
        raise InvalidRequest("json", Fault(pointer="#"))
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate key")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _read_integer(text: str) -> int | LongInteger:
    return int(text) if len(text.removeprefix("-")) <= MOST_DIGITS else LongInteger()


def _refuse(constant: str) -> None:
    raise ValueError(constant)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite, parse_int=_read_integer
)
