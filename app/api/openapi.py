"""GET /openapi.json: what the endpoints take and answer, OpenAPI 3.1, made from the models that are validated with."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.types import Receive, Scope, Send

from app import log
from app.api import schemas
from app.api.chat_openapi import CHAT_ANSWERS, CHAT_REQUESTS, chat_paths
from app.api.operations import HEADERS, TEXT, TRANSPORT, answer, body, problems
from app.http.responses import answer_bytes

VERSION = "0.1.0"

_REQUESTS = (schemas.EnsureUserRequest, schemas.Event, *CHAT_REQUESTS)
_ANSWERS = (
    *(schemas.EnsuredUser, schemas.Outcome, schemas.Health, schemas.Readiness, schemas.Problem),
    *CHAT_ANSWERS,
)


class OpenApi:
    """The endpoint, as an ASGI application."""

    def __init__(self) -> None:
        self._body = orjson.dumps(document())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature.
        log.bind(event="openapi")
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
            "/healthz": {"get": _probe("Whether the process answers.", {200: schemas.Health})},
            "/readyz": {"get": _probe("Whether it can do its work.", {200: schemas.Readiness, 503: schemas.Readiness})},
            "/metrics": {"get": _metrics()},
            **chat_paths(),
        },
        "components": {"schemas": definitions["$defs"], "securitySchemes": {"bearer": bearer}},
    }


def _ensure_user() -> dict[str, Any]:
    return {
        "summary": "Make sure of a user, their row and their assistant.",
        "operationId": "ensureUser",
        "security": [{"bearer": []}],
        "requestBody": body(schemas.EnsureUserRequest),
        "responses": {
            "200": answer("The user was there.", schemas.EnsuredUser),
            "201": answer("The user was made just now.", schemas.EnsuredUser),
            **problems((401, 403, 404, 410, *TRANSPORT)),
        },
    }


def _webhook() -> dict[str, Any]:
    described = {"id": "The message's id.", "timestamp": "Seconds since 1970.", "signature": "v1,<base64> ..."}
    return {
        "summary": "Take an event of Clerk's.",
        "description": "The three headers may also be named webhook-*, as in Standard Webhooks.",
        "operationId": "clerkWebhook",
        "parameters": [
            {"in": "header", "name": f"svix-{name}", "required": True, "description": text, "schema": TEXT}
            for name, text in described.items()
        ],
        "requestBody": body(schemas.Event),
        "responses": {"200": answer("Whatever it asked for is done.", schemas.Outcome), **problems(TRANSPORT)},
    }


def _probe(summary: str, answers: Mapping[int, type[BaseModel]]) -> dict[str, Any]:
    responses = {
        str(status): answer(HTTPStatus(status).phrase, model, HEADERS.get(status, {}))
        for status, model in answers.items()
    }
    return {"summary": summary, "responses": responses | problems((400, 405, 431))}


def _metrics() -> dict[str, Any]:
    text = {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": TEXT}}}
    return {"summary": "Figures of this process.", "responses": {"200": text, **problems((400, 405, 431))}}
