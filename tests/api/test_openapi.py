"""`/openapi.json` and the routes are tested against each other, by schemathesis and by hand."""

import json
import time
import tomllib
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import psycopg
import pytest
import requests
import schemathesis
from jsonschema_rs import validator_for
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance
from starlette.routing import Route

from app import VERSION
from app.api.openapi import document
from app.api.schemas import EnsuredUser
from app.clerk.signatures import sign
from tests.support import asgi, factories
from tests.support.factories import Person
from tests.support.fuzzing import examples
from tests.support.service import Service, assert_declared
from tools.processes import ServerProcess
from tools.sandbox.backboard import Sandbox

ROOT = Path(__file__).parents[2]


APP = asgi.stranded_app()
DOCUMENT = document(APP.routes)
OPERATIONS = [
    (path, method, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method != "parameters"
]
EXAMPLES = [
    (f"{operation['operationId']} {place}", name, example["value"], media_type["schema"])
    for operation in [one for *_, one in OPERATIONS] + [item["post"] for item in DOCUMENT["webhooks"].values()]
    for place, content in [("body", operation.get("requestBody", {})), *operation["responses"].items()]
    for media_type in content.get("content", {}).values()
    for name, example in media_type["examples"].items()
]


def closed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with closed schemas of answers: clients take new members, the tests see each without a name."""
    copy: dict[str, Any] = json.loads(json.dumps(document))
    schemas = copy["components"]["schemas"]
    bodies = {part["$ref"].rpartition("/")[2] for *_, op in OPERATIONS for part in body_schemas(op)}
    for name in schemas.keys() - bodies:
        if "properties" in schemas[name]:
            schemas[name].setdefault("additionalProperties", False)
    return copy


def body_schemas(operation: dict[str, Any]) -> list[dict[str, Any]]:
    content = operation.get("requestBody", {}).get("content", {})
    return [one for media_type in content.values() for one in media_type["schema"].get("anyOf", [media_type["schema"]])]


STRICT = closed(DOCUMENT)
# The body beside a service token.
ENSURING = validator_for(DOCUMENT["components"]["schemas"]["EnsureUserRequest"])
schema = schemathesis.openapi.from_dict(STRICT)
CHAT = "^/(users|sessions|scenarios)"


class Credentials(requests.auth.AuthBase):
    """A service token and a signature over the bytes that are really sent: each path needs one of the two."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        assert isinstance(body, str | bytes)
        raw = body.encode() if isinstance(body, str) else body
        request.headers.update(sign(factories.SECRET, "msg_1", int(time.time()), raw))
        request.headers["Authorization"] = f"Bearer {factories.TOKEN}"
        return request


@schema.exclude(path_regex=CHAT).parametrize()
@examples(60)
def test_the_service_answers_as_the_document_says(
    case: Any, lasting_server: ServerProcess, database: psycopg.Connection[Any], backboard: Sandbox
) -> None:
    """Valid requests are accepted, invalid ones refused, and every answer has a documented status and shape."""
    before = database.execute("SELECT count(*) FROM users").fetchone(), len(backboard.calls())

    answer = ask(case, lasting_server)

    # The other body of POST /ensure-user is for a session token.
    is_own = case.path == "/ensure-user" and isinstance(case.body, dict) and not ENSURING.is_valid(case.body)
    unsaid = [positive_data_acceptance] if is_own else []
    validate(case, answer, *unsaid)
    if answer.status_code >= 400:
        assert (database.execute("SELECT count(*) FROM users").fetchone(), len(backboard.calls())) == before


@schema.include(path_regex=CHAT).parametrize()
@examples(15)
def test_the_chats_routes_answer_as_the_document_says(
    case: Any,
    lasting_server: ServerProcess,
    database: object,  # noqa: ARG001  # Emptied before.
    backboard: object,  # noqa: ARG001  # As above.
) -> None:
    """No schema can say which keys, scenarios and cursors there are, or that NUL does not count."""
    answer = ask(case, lasting_server)

    body = answer.request.body or b""
    has_cursor = "cursor=" in answer.request.url or "before=" in answer.request.url or b'"cursor"' in body
    unsayable = "Idempotency-Key" in answer.request.headers or has_cursor or b"\\u0000" in body
    unsayable = unsayable or b'"scenario"' in body
    unsaid = [positive_data_acceptance] if unsayable and answer.status_code == 422 else []
    if b"\\u0000" in body:
        # Without its NULs a text may be short enough.
        unsaid.append(negative_data_rejection)
    validate(case, answer, *unsaid)


def validate(case: Any, answer: Any, *unsaid: Any) -> None:
    """The answer has the shape of the document, and a problem's code is one of its operation and status."""
    # Requests without credentials are tested elsewhere; here all have them.
    case.validate_response(answer, excluded_checks=[ignored_auth, *unsaid])
    method = answer.request.method
    assert_declared(method, unquote(urlsplit(answer.request.url).path), answer.status_code, answer.content)


def ask(case: Any, server: ServerProcess) -> Any:
    modes = {part.value: info.mode for part, info in case.meta.components.items()}
    credentials = None if modes.get("header") is GenerationMode.NEGATIVE else Credentials()
    return case.call(base_url=server.url, auth=credentials)


def test_every_example_is_valid_and_has_every_member() -> None:
    """Also under closed schemas; of a request, members may be left out."""
    for place, name, value, schema in EXAMPLES:
        validator = validator_for(schema | {"components": STRICT["components"]})
        assert validator.is_valid(value), (place, list(validator.iter_errors(value)))
        members = STRICT["components"]["schemas"].get(name, {}).get("properties")
        if members and name != "Problem" and not place.endswith("body"):
            assert set(value) == set(members), place


def test_each_webhook_shows_what_such_an_event_is_answered() -> None:
    examples = {
        name: item["post"]["responses"]["200"]["content"]["application/json"]["examples"][name]["value"]["outcome"]
        for name, item in DOCUMENT["webhooks"].items()
    }

    assert examples == {
        "user.created": "created", "user.updated": "updated", "user.deleted": "deleted", "session.created": "updated",
    }  # fmt: skip


def test_schemas_of_answers_are_open_and_no_member_has_a_default() -> None:
    """A new member of an answer breaks no client, and a member that may be missing is not typed as null."""
    text = json.dumps(DOCUMENT)

    assert '"additionalProperties": false' not in text
    assert '"default":' not in text


def test_every_operation_has_an_id_of_its_own_a_tag_a_summary_and_says_who_may_ask() -> None:
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    operations = [operation for *_, operation in OPERATIONS]

    assert len({one["operationId"] for one in operations}) == len(operations)
    assert {tag for one in operations for tag in one["tags"]} == tags
    assert all(one["summary"] and "security" in one for one in operations)


def test_the_document_has_every_route_and_no_other() -> None:
    """With its methods; only the document itself is left out."""
    routes = {
        (route.path_format, method.lower())
        for route in APP.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }

    assert {(path, method) for path, method, _ in OPERATIONS} == routes - {("/openapi.json", "get")}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "method", "operation"), OPERATIONS, ids=[f"{method} {path}" for path, method, _ in OPERATIONS]
)
async def test_an_operation_asks_for_a_token_if_the_document_says_so(path: str, method: str, operation: Any) -> None:
    path = path.format(clerk_id="user_a", slug="a", session_id=uuid4(), message_id=uuid4())

    answer = await asgi.ask(APP, asgi.HOST, method=method.upper(), path=path)

    assert (answer.status == HTTPStatus.UNAUTHORIZED) == bool(operation["security"])


def test_the_documents_version_is_the_projects() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


@pytest.mark.anyio
async def test_a_users_answer_has_the_shape_of_its_model(service: Service) -> None:
    """No member more and none less; the answer is written without the model."""
    person = Person()

    made = await service.ensure(person, email=person.email)

    user = EnsuredUser.model_validate_json(made.content)
    assert set(made.json()) == set(EnsuredUser.model_fields)
    assert (user.clerk_id, user.email) == (person.clerk_id, person.email)


@pytest.mark.anyio
async def test_the_document_needs_no_token(service: Service) -> None:
    """It says no more than the documentation."""
    answer = await service.client.get("/openapi.json")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == DOCUMENT
