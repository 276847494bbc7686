"""A JSON body of the API: bounded before it is parsed, its texts made storable, validated by a model.

What a signed-in user sends must not keep the event loop, and with it everybody else: a few bytes, such as `[],`, become
an object in memory that costs a hundred times as much as text of that length. So values are counted first.
"""

import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from app.api.auth import AuthenticatedRequest
from app.api.schemas import OWN_REASONS
from app.errors import InvalidRequest
from app.http.requests import BODY_BYTES, parse_json, read_json
from app.postgres.text import make_storable

# Of one body; an object or a list counts twice. They take about 50 ms.
MAX_VALUES = 50_000

Model = TypeVar("Model", bound=BaseModel)

# A string of JSON, or the end of a body that lacks the closing quote.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
# The only spellings of NUL and of half a surrogate pair in JSON that is UTF-8; a whole pair is found as well.
_has_unstorable = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])").search


async def read_body(request: AuthenticatedRequest, model: type[Model], cap: int = BODY_BYTES) -> Model:
    """The body of a request; InvalidRequest names the member that does not fit."""
    document = parse_document(await read_json(request.scope, request.receive, cap, owner=request.owner_id))
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise _invalid(error) from None


def parse_document(body: bytes) -> dict[str, Any]:
    """A JSON object, as `parse_json`, of no more values than the loop has time for and with storable texts only."""
    if _count_separators(body) > MAX_VALUES:
        _check_values(body)
    document = parse_json(body)
    if _has_unstorable(body):
        make_storable(document)
    return document


def _count_separators(text: bytes) -> int:
    """Commas and opening brackets: at least one for each value, and two for each object or list."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def _check_values(body: bytes) -> None:
    """Refuse too many values. Each string is a value or a key, so at most twice as many of them are looked at."""
    outside, strings = _STRING.subn(b"", body, count=2 * MAX_VALUES)
    if strings == 2 * MAX_VALUES or _count_separators(outside) > MAX_VALUES:
        raise InvalidRequest("too_many_values")


def _invalid(error: ValidationError) -> InvalidRequest:
    """The first fault, by the path of its member. Only the models name members, so nothing of the body is quoted."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    kind, member = first["type"], _path(first["loc"])
    if kind in OWN_REASONS:
        return InvalidRequest(kind, member=member)
    fault = "String should match its pattern in /openapi.json" if kind == "string_pattern_mismatch" else first["msg"]
    return InvalidRequest("shape", member=member, fault=fault)


def _path(loc: tuple[int | str, ...]) -> str:
    """As in JavaScript: messages[3].content."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc]
    return "".join(parts).removeprefix(".")
