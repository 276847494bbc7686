"""A JSON body of the API: bounded before it is parsed, then validated by a model.

One user's body must not keep the event loop from the requests of the others. A few bytes, such as `[],`, become an
object in memory that costs a hundred times as much as text of that length, so values are counted first.
"""

import re
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from app.api.auth import AuthenticatedRequest
from app.api.faults import invalid
from app.errors import Fault, InvalidRequest
from app.http.requests import BODY_BYTES, parse_json, read_json

# Of one body; an object or a list counts twice. They take about 50 ms.
MAX_VALUES = 50_000

Model = TypeVar("Model", bound=BaseModel)

# A string of JSON, or the end of a body that lacks the closing quote.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


async def read_body(request: AuthenticatedRequest, model: type[Model], cap: int = BODY_BYTES) -> Model:
    """The body of a request; InvalidRequest for one of too many values, and for members that do not fit."""
    body = await read_json(request.scope, request.receive, cap, owner=request.owner_id)
    if _count_separators(body) > MAX_VALUES:
        _check_values(body)
    document = parse_json(body)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise invalid(error, model) from None


def _count_separators(text: bytes) -> int:
    """Commas and opening brackets: at least one for each value, and two for each object or list."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def _check_values(body: bytes) -> None:
    """Refuse too many values. Each string is a value or a key, so at most twice as many of them are looked at."""
    outside, strings = _STRING.subn(b"", body, count=2 * MAX_VALUES)
    if strings == 2 * MAX_VALUES or _count_separators(outside) > MAX_VALUES:
        raise InvalidRequest("too_many_values", Fault(pointer="#"))
