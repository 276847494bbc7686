"""The parts of an OpenAPI operation that many have in common: a body, an answer, the refusals."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from app.api import schemas

TEXT: dict[str, Any] = {"type": "string"}
_REQUEST_ID = {"X-Request-Id": {"description": "As in the log.", "required": True, "schema": TEXT}}
_RETRY_AFTER = {
    "Retry-After": {"description": "In seconds.", "required": True, "schema": {"type": "integer", "minimum": 1}}
}
_CHALLENGE = {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}}
_ALLOW = {"Allow": {"required": True, "schema": TEXT}}

# What bodies and heads can be refused for, wherever one is taken.
TRANSPORT = (400, 405, 408, 413, 415, 422, 431, 503)
# What is left of that where no body is taken.
READING = (400, 405, 422, 431, 503)
HEADERS: Mapping[int, Mapping[str, Any]] = {401: _CHALLENGE, 405: _ALLOW, 503: _RETRY_AFTER}


def body(model: type[BaseModel]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": _reference(model)}}}


def answer(description: str, model: type[BaseModel], headers: Mapping[str, Any] | None = None) -> dict[str, Any]:
    media_type = "application/problem+json" if model is schemas.Problem else "application/json"
    return {
        "description": description,
        "headers": {**_REQUEST_ID, **(headers or {})},
        "content": {media_type: {"schema": _reference(model)}},
    }


def done() -> dict[str, Any]:
    """An answer without a body."""
    return {"description": "Done.", "headers": _REQUEST_ID}


def problems(statuses: Sequence[int]) -> dict[str, Any]:
    return {
        str(status): answer(HTTPStatus(status).phrase, schemas.Problem, HEADERS.get(status))
        for status in sorted(statuses)
    }


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
