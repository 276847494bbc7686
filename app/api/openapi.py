"""GET /openapi.json, OpenAPI 3.1: assembled from the routes and the `@Operation` that stands above each handler.

A handler's name becomes the operation's id, its docstring the summary and the description. What follows from the kind
of an operation is added here: path parameters, credentials, and the errors that any body or any token can cause.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from inspect import getdoc
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app import log
from app.api.auth import MethodRouter
from app.api.schemas import Problem

VERSION = "0.1.0"

Json = dict[str, Any]
Handler = TypeVar("Handler", bound=Callable[..., Any])

STRING: Json = {"type": "string"}
_UUID: Json = {"type": "string", "format": "uuid"}
_PATH_PARAMETERS: Mapping[str, Json] = {
    "clerk_id": {"type": "string", "pattern": "^user_[A-Za-z0-9]{1,64}$"},
    "session_id": _UUID,
    "message_id": _UUID,
}
_REQUEST_ID: Json = {"X-Request-Id": {"description": "As in the log.", "required": True, "schema": STRING}}
_SECONDS: Json = {"type": "integer", "minimum": 1}
_RETRY_AFTER: Json = {"Retry-After": {"description": "In seconds.", "required": True, "schema": _SECONDS}}
_HEADERS: Mapping[int, Json] = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}},
    405: {"Allow": {"required": True, "schema": STRING}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """Declares what a handler takes and answers: a decorator.

    `answers` has the model of each status: `str` for plain text, None for no body. `errors` are those of this
    operation alone.
    """

    answers: Mapping[int, type[BaseModel] | type[str] | None]
    body: type[BaseModel] | None = None
    parameters: Sequence[Json] = ()
    errors: Sequence[int] = ()
    is_public: bool = False
    id: str | None = None

    def __call__(self, handler: Handler) -> Handler:
        vars(handler)["operation"] = self
        return handler

    def statuses(self) -> Sequence[int]:
        """Every status that is answered with a problem document."""
        by_token = () if self.is_public else (401, 404, 410, 422, 503)
        by_body = (408, 413, 415, 422, 503) if self.body else ()
        return sorted({400, 405, 431, *by_token, *by_body, *self.errors} - set(self.answers))


def parameter(where: str, name: str, schema: Json, **more: Any) -> Json:
    """A parameter of an operation, optional unless said otherwise."""
    return {"in": where, "name": name, "required": False, "schema": schema} | more


class OpenApi:
    """The document of some routes, written once."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._body = orjson.dumps(document(routes))

    async def openapi(self, _: Request) -> Response:
        log.bind(event="openapi")
        return Response(self._body, media_type="application/json")


def document(routes: Iterable[BaseRoute]) -> Json:
    """Describe every handler that declares its operation."""
    paths: dict[str, Json] = {}
    models: list[tuple[type[BaseModel], Any]] = [(Problem, "serialization")]
    for route, method, handler, operation in _operations(routes):
        item = paths.setdefault(route.path_format, _path_item(route))
        item[method.lower()] = _describe(handler, operation)
        answers = [model for model in operation.answers.values() if model and issubclass(model, BaseModel)]
        models += [(model, "serialization") for model in answers]
        models += [(operation.body, "validation")] if operation.body else []
    _, definitions = models_json_schema(models, ref_template="#/components/schemas/{model}")
    bearer = {"type": "http", "scheme": "bearer", "description": "One of SERVICE_TOKENS, or a Clerk session token."}
    return {
        "openapi": "3.1.0",
        "info": {"title": "clerk-backboard-sync", "version": VERSION},
        "paths": paths,
        "components": {"schemas": definitions["$defs"], "securitySchemes": {"bearer": bearer}},
    }


def _operations(routes: Iterable[BaseRoute]) -> Iterator[tuple[Route, str, Callable[..., Any], Operation]]:
    for route in routes:
        assert isinstance(route, Route)  # noqa: S101  # There are no others.
        endpoints = route.endpoint.endpoints if isinstance(route.endpoint, MethodRouter) else {"GET": route.endpoint}
        for method, endpoint in endpoints.items():
            if hasattr(endpoint, "operation"):
                yield route, method, endpoint, endpoint.operation


def _path_item(route: Route) -> Json:
    path = [parameter("path", name, _PATH_PARAMETERS[name], required=True) for name in route.param_convertors]
    return {"parameters": path} if path else {}


def _describe(handler: Callable[..., Any], operation: Operation) -> Json:
    summary, _, description = (getdoc(handler) or "").partition("\n\n")
    first, *others = handler.__name__.split("_")
    answers = {str(status): _answer(status, model) for status, model in operation.answers.items()}
    errors = {str(status): _answer(status, Problem) for status in operation.statuses()}
    described: Json = {
        "summary": summary,
        "description": description,
        "operationId": operation.id or first + "".join(map(str.title, others)),
        "security": [] if operation.is_public else [{"bearer": []}],
        "parameters": operation.parameters,
        "requestBody": operation.body and {"required": True, "content": _content(operation.body)},
        "responses": answers | errors,
    }
    return {name: value for name, value in described.items() if value}


def _answer(status: int, model: type[BaseModel] | type[str] | None) -> Json:
    headers = _REQUEST_ID | _HEADERS.get(status, {})
    content = {"content": _content(model)} if model else {}
    return {"description": HTTPStatus(status).phrase, "headers": headers} | content


def _content(model: type[BaseModel] | type[str]) -> Json:
    if not issubclass(model, BaseModel):
        return {"text/plain": {"schema": STRING}}
    media_type = "application/problem+json" if model is Problem else "application/json"
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
