"""GET /openapi.json: what the endpoints take and answer, OpenAPI 3.1, made from the models that are validated with."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.types import Receive, Scope, Send

from app import logs, messages
from app.bodies import answer_bytes

VERSION = "0.1.0"

_REQUESTS = (messages.EnsureUserRequest, messages.Event)
_ANSWERS = (messages.EnsuredUser, messages.Outcome, messages.Health, messages.Readiness, messages.Problem)
_TEXT: dict[str, Any] = {"type": "string"}
_REQUEST_ID = {"X-Request-Id": {"description": "As in the log.", "required": True, "schema": _TEXT}}
_RETRY_AFTER = {
    "Retry-After": {"description": "In seconds.", "required": True, "schema": {"type": "integer", "minimum": 1}}
}
_CHALLENGE = {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}}
_ALLOW = {"Allow": {"required": True, "schema": _TEXT}}

# What bodies and heads can be refused for, wherever one is taken.
_TRANSPORT = (400, 405, 408, 413, 415, 422, 431, 503)
_HEADERS: Mapping[int, Mapping[str, Any]] = {401: _CHALLENGE, 405: _ALLOW, 503: _RETRY_AFTER}


class OpenApi:
    """The endpoint, as an ASGI application."""

    def __init__(self) -> None:
        self._body = orjson.dumps(document())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature.
        logs.note(event="openapi")
        await answer_bytes(send, HTTPStatus.OK, self._body)


def document() -> dict[str, Any]:
    """The whole document."""
    _, definitions = models_json_schema(
        [*((model, "validation") for model in _REQUESTS), *((model, "serialization") for model in _ANSWERS)],
        ref_template="#/components/schemas/{model}",
    )
    bearer = {"type": "http", "scheme": "bearer", "description": "One of SERVICE_TOKENS, or a Clerk session token."}
    return {
        "openapi": "3.1.0",
        "info": {"title": "clerk-backboard-sync", "version": VERSION},
        "paths": {
            "/ensure-user": {"post": _ensure_user()},
            "/webhooks/clerk": {"post": _webhook()},
            "/healthz": {"get": _probe("Whether the process answers.", {200: messages.Health})},
            "/readyz": {
                "get": _probe("Whether it can do its work.", {200: messages.Readiness, 503: messages.Readiness})
            },
            "/metrics": {"get": _metrics()},
        },
        "components": {"schemas": definitions["$defs"], "securitySchemes": {"bearer": bearer}},
    }


def _ensure_user() -> dict[str, Any]:
    return {
        "summary": "Make sure of a user, their row and their assistant.",
        "operationId": "ensureUser",
        "security": [{"bearer": []}],
        "requestBody": _body(messages.EnsureUserRequest),
        "responses": {
            "200": _answer("The user was there.", messages.EnsuredUser),
            "201": _answer("The user was made just now.", messages.EnsuredUser),
            **_problems((401, 403, 404, 410, *_TRANSPORT)),
        },
    }


def _webhook() -> dict[str, Any]:
    described = {"id": "The message's id.", "timestamp": "Seconds since 1970.", "signature": "v1,<base64> ..."}
    return {
        "summary": "Take an event of Clerk's.",
        "description": "The three headers may also be named webhook-*, as in Standard Webhooks.",
        "operationId": "clerkWebhook",
        "parameters": [
            {"in": "header", "name": f"svix-{name}", "required": True, "description": text, "schema": _TEXT}
            for name, text in described.items()
        ],
        "requestBody": _body(messages.Event),
        "responses": {"200": _answer("Whatever it asked for is done.", messages.Outcome), **_problems(_TRANSPORT)},
    }


def _probe(summary: str, answers: Mapping[int, type[BaseModel]]) -> dict[str, Any]:
    responses = {
        str(status): _answer(HTTPStatus(status).phrase, model, _HEADERS.get(status, {}))
        for status, model in answers.items()
    }
    return {"summary": summary, "responses": responses | _problems((400, 405, 431))}


def _metrics() -> dict[str, Any]:
    answer = {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": _TEXT}}}
    return {"summary": "Figures of this process.", "responses": {"200": answer, **_problems((400, 405, 431))}}


def _body(model: type[BaseModel]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": _reference(model)}}}


def _answer(description: str, model: type[BaseModel], headers: Mapping[str, Any] | None = None) -> dict[str, Any]:
    media_type = "application/problem+json" if model is messages.Problem else "application/json"
    return {
        "description": description,
        "headers": {**_REQUEST_ID, **(headers or {})},
        "content": {media_type: {"schema": _reference(model)}},
    }


def _problems(statuses: Sequence[int]) -> dict[str, Any]:
    return {
        str(status): _answer(HTTPStatus(status).phrase, messages.Problem, _HEADERS.get(status))
        for status in sorted(statuses)
    }


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
