"""GET /openapi.json, OpenAPI 3.1: assembled from the routes and the `@Operation` that stands above each handler.

A handler's name becomes the operation's id, its docstring the summary and the description. What follows from the kind
of an operation is added here: path parameters, credentials, and the codes that any body or any token can cause. The
name of the class of the handler is its tag.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from inspect import getdoc
from types import UnionType
from typing import Any, TypeVar, get_args

import orjson
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app import VERSION, log
from app.api import codes
from app.api.auth import MethodRouter
from app.api.events import HANDLED, Event
from app.api.examples import EXAMPLES, PLAIN_TEXT, example_event, example_outcome, problem
from app.api.problems import Problem
from app.api.schemas import Outcome
from app.chat.models import SLUG, SLUG_LENGTH
from app.clerk.users import CLERK_ID_PATTERN
from app.reasons import REASONS

Json = dict[str, Any]

_REFERENCE = "#/components/schemas/{model}"
_INFO: Json = {
    "title": "clerk-backboard-sync",
    "version": VERSION,
    "summary": "One AI assistant for each Clerk user, and the sessions and messages of the chat.",
    "description": "Answers may get more members, and problems more codes: ignore what you do not know. Texts are"
    " stored as they came, without NUL, and with U+FFFD in the place of half a surrogate pair.",
    "license": {"name": "MIT", "identifier": "MIT"},
}
# One for each class of handlers.
TAGS: Mapping[str, str] = {
    "webhooks": "Clerk's events.",
    "users": "Users, their figures and their preferences.",
    "sessions": "The sessions of a chat.",
    "messages": "The messages of a session.",
    "scenarios": "What conversations may begin from.",
    "health": "Probes and metrics.",
}
Handler = TypeVar("Handler", bound=Callable[..., Any])

STRING: Json = {"type": "string"}
_UUID: Json = {"type": "string", "format": "uuid"}
_PATH_PARAMETERS: Mapping[str, Json] = {
    "clerk_id": {"type": "string", "pattern": CLERK_ID_PATTERN},
    "slug": {"type": "string", "pattern": f"^{SLUG}$", "maxLength": SLUG_LENGTH},
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

    `answers` has the model of each status: `str` for plain text, None for no body; `body` a model, or several where
    the caller's token decides. `errors` are the codes of this operation alone, by status: {404: ["unknown_user"]};
    what any body, token, path or query can cause is added (app.api.codes).
    """

    answers: Mapping[int, type[BaseModel] | type[str] | None]
    body: type[BaseModel] | UnionType | None = None
    parameters: Sequence[Json] = ()
    errors: codes.Codes = field(default_factory=dict)
    is_public: bool = False
    id: str | None = None

    def __call__(self, handler: Handler) -> Handler:
        vars(handler)["operation"] = self
        return handler

    def problems(self, path_parameters: Iterable[str]) -> Mapping[int, Sequence[str]]:
        """Every status that is answered with a problem document, with the codes it can have."""
        parts = [codes.ANY, self.errors, codes.by_parameters((one["in"], one["name"]) for one in self.parameters)]
        parts += [codes.BY_PATH.get(name, {}) for name in path_parameters]
        if not self.is_public:
            parts.append(codes.BY_TOKEN)
        if self.body:
            parts.append(codes.BY_PUBLIC_BODY if self.is_public else codes.BY_BODY)
        return {status: found for status, found in codes.joined(*parts).items() if status not in self.answers}

    def bodies(self) -> Sequence[type[BaseModel]]:
        """The models of which the body is one."""
        return get_args(self.body) or ((self.body,) if isinstance(self.body, type) else ())


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
        item[method.lower()] = _describe(handler, operation, operation.problems(route.param_convertors))
        answers = [model for model in operation.answers.values() if model and issubclass(model, BaseModel)]
        models += [(model, "serialization") for model in answers]
        models += [(model, "validation") for model in operation.bodies()]
    _, definitions = models_json_schema(models, ref_template=_REFERENCE, schema_generator=_SchemaWriter)
    bearer = {"type": "http", "scheme": "bearer", "description": "One of SERVICE_TOKENS, or a Clerk session token."}
    return {
        "openapi": "3.1.0",
        "info": _INFO,
        "servers": [{"url": "/", "description": "The service that answers this document."}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "webhooks": {event_type: _webhook(event_type, meaning) for event_type, meaning in HANDLED.items()},
        "components": {"schemas": definitions["$defs"], "securitySchemes": {"bearer": bearer}},
        "x-codes": {
            code: {"status": one.status, "meaning": one.meaning, "caller": one.for_caller}
            for code, one in REASONS.items()
        },
    }


def _webhook(event_type: str, meaning: str) -> Json:
    """An event that Clerk sends to POST /webhooks/clerk, which the document describes as a path as well."""
    schema = {"$ref": _REFERENCE.format(model=Event.__name__)}
    event: Json = {"schema": schema, "examples": {event_type: {"value": example_event(event_type)}}}
    answer = _answer(HTTPStatus.OK, Outcome)
    answer["content"]["application/json"]["examples"] = {event_type: {"value": example_outcome(event_type)}}
    return {
        "post": {
            "tags": ["webhooks"],
            "summary": meaning,
            "description": "Clerk sends it to POST /webhooks/clerk.",
            "operationId": "on" + event_type.title().replace(".", ""),
            "security": [],
            "requestBody": {"required": True, "content": {"application/json": event}},
            "responses": {"200": answer, "400": _problem(HTTPStatus.BAD_REQUEST, [])},
        }
    }


class _SchemaWriter(GenerateJsonSchema):
    """As pydantic's, without defaults: of a member that has one, openapi-typescript says that it must be there.

    The description of the member says what it is without it.
    """

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        written = super().default_schema(schema)
        written.pop("default", None)
        return written


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


def _describe(handler: Callable[..., Any], operation: Operation, problems: Mapping[int, Sequence[str]]) -> Json:
    summary, _, description = (getdoc(handler) or "").partition("\n\n")
    first, *others = handler.__name__.split("_")
    answers = {str(status): _answer(status, model) for status, model in operation.answers.items()}
    errors = {str(status): _problem(status, found) for status, found in problems.items()}
    described: Json = {
        "tags": [handler.__qualname__.split(".")[0].lower()],
        "summary": summary,
        "description": description,
        "operationId": operation.id or first + "".join(map(str.title, others)),
        "parameters": operation.parameters,
        "requestBody": operation.body and {"required": True, "content": _content(*operation.bodies())},
        "responses": answers | errors,
    }
    security: Json = {"security": [] if operation.is_public else [{"bearer": []}]}
    return {name: value for name, value in described.items() if value} | security


def _answer(status: int, model: type[BaseModel] | type[str] | None) -> Json:
    headers = _REQUEST_ID | _HEADERS.get(status, {})
    content = {"content": _content(model)} if model else {}
    return {"description": HTTPStatus(status).phrase, "headers": headers} | content


def _problem(status: int, found: Sequence[str]) -> Json:
    """A problem document. Its codes are `x-codes`, and stand in the description for readers."""
    listed = "".join(f"\n* `{code}`: {REASONS[code].meaning}" for code in found)
    schema = {"$ref": _REFERENCE.format(model=Problem.__name__)}
    media_type = {"schema": schema, "examples": {Problem.__name__: {"value": problem(status, found)}}}
    return {
        "description": f"{HTTPStatus(status).phrase}\n{listed}".strip(),
        "headers": _REQUEST_ID | _HEADERS.get(status, {}),
        "content": {"application/problem+json": media_type},
        "x-codes": found,
    }


def _content(*models: type[BaseModel] | type[str]) -> Json:
    if not issubclass(models[0], BaseModel):
        return {"text/plain": {"schema": STRING, "examples": {"metrics": {"value": PLAIN_TEXT}}}}
    references = [{"$ref": _REFERENCE.format(model=model.__name__)} for model in models]
    schema = references[0] if len(models) == 1 else {"anyOf": references}
    examples = {model.__name__: {"value": EXAMPLES[model.__name__]} for model in models}
    return {"application/json": {"schema": schema, "examples": examples}}
