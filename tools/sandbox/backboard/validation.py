"""The checks that a request to the Backboard sandbox must pass.

An invalid body is answered as FastAPI does, status 422 and a *list* under `detail`; any other refusal has a string
there.
"""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

from tools.sandbox.http import Request, json_response

LONGEST_NAME = 255
TOK_K_RANGE = (1, 100)
MOST_SKIP = 10_000
MOST_LIMIT = 200


class HttpError(Exception):
    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(status)
        self.response = json_response(status, {"detail": detail})


def unprocessable(kind: str, message: str, *loc: str | int) -> HttpError:
    return HttpError(422, [{"type": kind, "loc": loc, "msg": message}])


def checked_uuid(text: str, parameter: str, *, where: str = "path") -> str:
    """The id in the spelling it is kept under."""
    try:
        return str(UUID(text))
    except ValueError:
        raise unprocessable("uuid_parsing", "Input should be a valid UUID", where, parameter) from None


def whole_number(value: Any, *loc: str | int) -> int:
    """A number, or its digits in a query."""
    try:
        return int(str(value))
    except ValueError:
        raise unprocessable("int_parsing", "Input should be a valid integer", *loc) from None


def check_range(number: int, *loc: str, low: int, high: int) -> None:
    if number < low:
        raise unprocessable("greater_than_equal", f"Input should be greater than or equal to {low}", *loc)
    if number > high:
        raise unprocessable("less_than_equal", f"Input should be less than or equal to {high}", *loc)


def paging(query: dict[str, str], *, clamp: bool) -> slice:
    """The part of a listing that `skip` and `limit` ask for."""
    skip = whole_number(query.get("skip", 0), "query", "skip")
    limit = whole_number(query.get("limit", 100), "query", "limit")
    if clamp:
        skip, limit = max(0, min(skip, MOST_SKIP)), max(1, min(limit, MOST_LIMIT))
    check_range(skip, "query", "skip", low=0, high=MOST_SKIP)
    check_range(limit, "query", "limit", low=1, high=MOST_LIMIT)
    return slice(skip, skip + limit)


def json_object(request: Request) -> dict[str, Any]:
    """The body, which must be a JSON object and say so; nothing at all is refused as well."""
    if not request.body:
        raise unprocessable("missing", "Field required", "body")
    payload: Any = None
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        try:
            payload = json.loads(request.body)
        except (ValueError, RecursionError):
            raise unprocessable("json_invalid", "JSON decode error", "body", 0) from None
    if not isinstance(payload, dict):
        raise unprocessable("model_attributes_type", "Input should be a valid dictionary", "body")
    return payload


def assistant_fields(request: Request, *, required: bool) -> dict[str, Any]:
    """What a create or an update may set, checked; fields that Backboard does not know are dropped.

    `description` is another spelling of the prompt, and loses against `system_prompt`.
    """
    payload = json_object(request)
    if required and "name" not in payload:
        raise unprocessable("missing", "Field required", "body", "name")
    sent = {field: payload[field] for field in FIELDS if field in payload}
    for field, value in sent.items():
        FIELDS[field](field, value)
    description = sent.pop("description", None)
    if description is not None:
        sent.setdefault("system_prompt", description)
    return sent


def _name(field: str, value: object) -> None:
    if not isinstance(value, str):
        raise unprocessable("string_type", "Input should be a valid string", "body", field)
    if not value:
        raise unprocessable("string_too_short", "String should have at least 1 character", "body", field)
    if len(value) > LONGEST_NAME:
        message = f"String should have at most {LONGEST_NAME} characters"
        raise unprocessable("string_too_long", message, "body", field)


def _text(field: str, value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise unprocessable("string_type", "Input should be a valid string", "body", field)


def _tools(field: str, value: object) -> None:
    if value is not None and not isinstance(value, list):
        raise unprocessable("list_type", "Input should be a valid list", "body", field)


def _integer(field: str, value: object) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise unprocessable("int_type", "Input should be a valid integer", "body", field)


def _tok_k(field: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise unprocessable("int_type", "Input should be a valid integer", "body", field)
    check_range(value, "body", field, low=TOK_K_RANGE[0], high=TOK_K_RANGE[1])


FIELDS: dict[str, Callable[[str, object], None]] = {
    "name": _name,
    "system_prompt": _text,
    "description": _text,
    "tools": _tools,
    "tok_k": _tok_k,
    "embedding_provider": _text,
    "embedding_model_name": _text,
    "embedding_dims": _integer,
    "custom_fact_extraction_prompt": _text,
    "custom_update_memory_prompt": _text,
}
