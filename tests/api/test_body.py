"""Bodies of the API that would keep the event loop, or that do not fit: refused in time, by the name of the member."""

import json
from typing import Any
from uuid import UUID

import pytest
from starlette.types import ASGIApp

from app.api.messages import BATCH_BYTES, MESSAGE_BYTES
from app.api.openapi import document
from app.http.requests import BODY_BYTES
from tests.support import asgi
from tests.support.asgi import Log, ask
from tests.support.factories import Person
from tests.support.service import Chat, Service

pytestmark = pytest.mark.anyio

SESSION = str(UUID(int=7))
# A member that takes any JSON, where the route has one.
ANYWHERE = '{"a": [%s]}'
ROUTES: dict[str, tuple[int, str]] = {
    "POST /users/{clerk_id}/sessions": (BODY_BYTES, ANYWHERE),
    "PATCH /sessions/{session_id}": (BODY_BYTES, ANYWHERE),
    "POST /sessions/{session_id}/messages": (
        MESSAGE_BYTES,
        '{"role": "user", "content": "x", "metadata": {"a": [%s]}}',
    ),
    "POST /sessions/{session_id}/messages/batch": (
        BATCH_BYTES,
        '{"messages": [{"role": "user", "content": "x", "metadata": {"a": [%s]}}]}',
    ),
    "PUT /users/{clerk_id}/preferences": (BODY_BYTES, ANYWHERE),
    "PATCH /users/{clerk_id}/preferences": (BODY_BYTES, ANYWHERE),
}
# Short to send, long to parse: repeated up to the limit of the route.
BOMBS = {
    "lists": "[],",
    "objects": "{},",
    "members": '{"a":1},',
    "numbers": "1,",
    "long numbers": "1e9,",
    "empty texts": '"",',
    "brackets": "[",
    "braces": '{"a":',
    "lists in texts in lists": '["[[",[]],',
}


def full(route: str, unit: str) -> bytes:
    """A body of a route's limit, filled with one unit."""
    cap, frame = ROUTES[route]
    room = cap - len(frame) - 1
    return (frame % (unit * (room // len(unit)) + "1")).encode()


def test_every_route_of_the_api_with_a_body_is_listed() -> None:
    """The other two take 256 KiB, which is parsed within some milliseconds in any case."""
    paths = document(asgi.stranded_app().routes)["paths"]
    taking = {
        f"{method.upper()} {path}"
        for path, item in paths.items()
        for method, operation in item.items()
        if method != "parameters" and "requestBody" in operation
    }

    assert taking == {*ROUTES, "POST /webhooks/clerk", "POST /ensure-user"}


@pytest.mark.parametrize("unit", BOMBS.values(), ids=BOMBS.keys())
@pytest.mark.parametrize("route", ROUTES)
async def test_a_body_of_too_many_values_is_refused_before_it_is_parsed(
    app: ASGIApp, log: Log, route: str, unit: str
) -> None:
    """The reason shows that they were counted first; nothing of the body is quoted."""
    method, path = route.format(clerk_id="user_a", session_id=SESSION).split(" ")

    answer = await ask(app, asgi.HOST + asgi.BEARER + asgi.JSON, full(route, unit), method=method, path=path)

    asgi.assert_refused(answer, log.line(), 422, "too_many_values")


async def test_quotes_outside_of_texts_are_counted_in_one_pass(app: ASGIApp, log: Log) -> None:
    """A text without an end is looked at once, not again from each of its quotes: that would take minutes."""
    path = f"/sessions/{SESSION}/messages"
    body = full("POST /sessions/{session_id}/messages", '\\",')

    answer = await ask(app, asgi.HOST + asgi.BEARER + asgi.JSON, body, path=path)

    asgi.assert_refused(answer, log.line(), 422, "json")


@pytest.fixture
def chat(service: Service) -> Chat:
    return Chat(service.client)


async def test_commas_and_brackets_in_a_text_are_no_values(chat: Chat) -> None:
    """Also beside escaped quotes and backslashes, and as many as a message may have."""
    session = (await chat.open(Person())).json()
    text = '{"a\\":[],' * 11_111

    answer = await chat.say(session, "user", text)

    assert (answer.status_code, answer.json()["content"]) == (201, text)


async def test_a_batch_may_have_as_many_values_as_the_document_says(chat: Chat) -> None:
    """50,000, of which a list or an object counts as two; a fifth more is refused."""
    session = (await chat.open(Person())).json()
    path = f"/sessions/{session['id']}/messages/batch"
    message = {"role": "user", "content": "x", "metadata": {"a": [1] * 487}}
    # Each message is two objects and a list, two texts and 487 numbers; around 100 of them are an object and a list.
    messages: list[dict[str, Any]] = [dict(message) for _ in range(100)]
    messages[0]["metadata"] = {"a": [1] * (487 + 50_000 - 4 - 100 * 495)}

    fits = await chat.post(path, {"messages": messages})
    larger = await chat.post(path, {"messages": messages + messages[:20]})

    assert (fits.status_code, larger.status_code) == (201, 422)
    assert "50,000 values" in larger.json()["detail"]


USER = {"role": "user", "content": "canary"}
FAULTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "no content": ("", {"role": "user"}, "content: Field required"),
    "a long content": ("", USER | {"content": "x" * 100_001}, "content: String should have at most 100000 characters"),
    "nothing but NUL": ("", USER | {"content": "\0"}, "content: String should have at least 1 character"),
    "another role": ("", USER | {"role": "canary"}, "role: Input should be 'user' or 'assistant'"),
    "metadata of 17 KB": ("", USER | {"metadata": {"canary": "x" * 17_000}}, "metadata"),
    "metadata that grows": ("", USER | {"metadata": {"canary": [1e300] * 100}}, "metadata"),
    "deep metadata": ("", USER | {"metadata": {"canary": json.loads("[" * 100 + "]" * 100)}}, "metadata"),
    "keys that become one": ("", USER | {"metadata": {"canary": 1, "canary\0": 2}}, "metadata: Value error, two keys"),
    "in a batch": ("/batch", {"messages": [USER, USER | {"metadata": 7}]}, "messages[1].metadata: Input should be"),
    "long, in a batch": (
        "/batch",
        {"messages": [USER, USER | {"metadata": {"a": "x" * 17_000}}]},
        "messages[1].metadata",
    ),
    "no batch": ("/batch", {"messages": []}, "messages: List should have at least 1 item"),
}


@pytest.mark.parametrize(("path", "body", "member"), FAULTS.values(), ids=FAULTS.keys())
async def test_a_refusal_names_the_member_at_fault(chat: Chat, path: str, body: dict[str, Any], member: str) -> None:
    """By its path, with what is wrong, and nothing of the body."""
    session = (await chat.open(Person())).json()

    answer = await chat.raw("POST", f"/sessions/{session['id']}/messages{path}", json.dumps(body).encode())

    assert (answer.status_code, member in answer.json()["detail"]) == (422, True), answer.json()["detail"]
    assert "canary" not in answer.text


async def test_a_refused_title_is_named(chat: Chat) -> None:
    """Its pattern is in the document, and not for reading."""
    person = Person()
    answer = await chat.open(person, title="a\nb")

    assert "title: String should match its pattern in /openapi.json." in answer.json()["detail"]


async def test_preferences_nested_too_deeply_are_422(chat: Chat) -> None:
    """100 levels are stored; the keys of deeper ones are not quoted."""
    person = Person()
    await chat.open(person)
    path = f"/users/{person.clerk_id}/preferences"

    fits = await chat.put(path, {"a": json.loads("[" * 99 + "]" * 99)})
    answers = [await chat.put(path, {"canary": json.loads("[" * depth + "]" * depth)}) for depth in (100, 900)]

    assert [answer.status_code for answer in (fits, *answers)] == [200, 422, 422]
    assert all("100 deep" in answer.json()["detail"] and "canary" not in answer.text for answer in answers)
