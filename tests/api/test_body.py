"""Bodies of the API that would keep the event loop, or that do not fit: refused in time, by the name of the member."""

import json
import math
import random
import struct
from typing import Any
from uuid import UUID

import psycopg
import pytest
from starlette.types import ASGIApp

from app.api import pagination
from app.api.body import MAX_VALUES
from app.api.members import write_document
from app.api.messages import BATCH_BYTES, MESSAGE_BYTES
from app.api.openapi import document
from app.http.requests import BODY_BYTES, LongInteger, parse_json
from tests.support import asgi
from tests.support.asgi import Log, ask
from tests.support.factories import Person
from tests.support.service import Chat, Service

pytestmark = pytest.mark.anyio

SESSION = str(UUID(int=7))
# A member that takes any JSON, where the route has one.
ANYWHERE = '{"a": [%s]}'
ROUTES: dict[str, tuple[int, str]] = {
    "POST /ensure-user": (BODY_BYTES, ANYWHERE),
    "POST /users/{clerk_id}/sessions": (BODY_BYTES, ANYWHERE),
    "POST /users/{clerk_id}/sessions/search": (BODY_BYTES, ANYWHERE),
    "PUT /scenarios/{slug}": (BODY_BYTES, ANYWHERE),
    "PATCH /sessions/{session_id}": (BODY_BYTES, ANYWHERE),
    "POST /sessions/{session_id}/messages": (
        MESSAGE_BYTES,
        '{"role": "user", "content": "x", "metadata": {"a": [%s]}}',
    ),
    "POST /sessions/{session_id}/messages/batch": (
        BATCH_BYTES,
        '{"messages": [{"role": "user", "content": "x", "metadata": {"a": [%s]}}]}',
    ),
    "PATCH /sessions/{session_id}/messages/{message_id}": (BODY_BYTES, ANYWHERE),
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
    """A webhook has 256 KiB, which are parsed within some milliseconds in any case."""
    paths = document(asgi.stranded_app().routes)["paths"]
    taking = {
        f"{method.upper()} {path}"
        for path, item in paths.items()
        for method, operation in item.items()
        if method != "parameters" and "requestBody" in operation
    }

    assert taking == {*ROUTES, "POST /webhooks/clerk"}


@pytest.mark.parametrize("unit", BOMBS.values(), ids=BOMBS.keys())
@pytest.mark.parametrize("route", ROUTES)
async def test_a_body_of_too_many_values_is_refused_before_it_is_parsed(
    app: ASGIApp, log: Log, route: str, unit: str
) -> None:
    """The reason shows that they were counted first; nothing of the body is quoted."""
    method, path = route.format(clerk_id="user_a", slug="a", session_id=SESSION, message_id=SESSION).split(" ")

    answer = await ask(app, asgi.HOST + asgi.BEARER + asgi.JSON, full(route, unit), method=method, path=path)

    asgi.assert_refused(answer, log.line(), 422, "too_many_values")


async def test_quotes_outside_of_texts_are_counted_in_one_pass(app: ASGIApp, log: Log) -> None:
    """A text without an end is looked at once, not again from each of its quotes, and its commas are text."""
    path = f"/sessions/{SESSION}/messages"

    answer = await ask(app, asgi.HOST + asgi.BEARER + asgi.JSON, b'\\",' * (MAX_VALUES + 10_000), path=path)

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
LARGE, DEEP = "must have at most 16 KiB", "must be nested at most 100 deep"
FAULTS: dict[str, tuple[str, Any, list[tuple[str, str]]]] = {
    "no content": ("", {"role": "user"}, [("#/content", "is required")]),
    "a long content": ("", USER | {"content": "x" * 100_001}, [("#/content", "must have at most 100000 characters")]),
    "nothing but NUL": ("", USER | {"content": "\0"}, [("#/content", "must have at least 1 character")]),
    "a number": ("", USER | {"content": 7}, [("#/content", "must be a string")]),
    "another role": ("", USER | {"role": "canary"}, [("#/role", 'must be "user" or "assistant"')]),
    "all at once": (
        "",
        {"role": "canary", "metadata": "canary"},
        [
            ("#/role", 'must be "user" or "assistant"'),
            ("#/content", "is required"),
            ("#/metadata", "must be an object"),
        ],
    ),
    "metadata of 17 KB": ("", USER | {"metadata": {"canary": "x" * 17_000}}, [("#/metadata", LARGE)]),
    "metadata that grows": ("", USER | {"metadata": {"canary": [1e300] * 100}}, [("#/metadata", LARGE)]),
    "deep metadata": ("", USER | {"metadata": {"canary": json.loads("[" * 100 + "]" * 100)}}, [("#/metadata", DEEP)]),
    "keys that become one": (
        "",
        USER | {"metadata": {"canary": 1, "canary\0": 2}},
        [("#/metadata", "must not have two keys that differ only in NUL")],
    ),
    "in a batch": (
        "/batch",
        {"messages": [USER, USER | {"metadata": 7}, {"role": "user"}]},
        [("#/messages/1/metadata", "must be an object"), ("#/messages/2/content", "is required")],
    ),
    "no message": ("/batch", {"messages": ["canary"]}, [("#/messages/0", "must be an object")]),
    "long, in a batch": (
        "/batch",
        {"messages": [USER, USER | {"metadata": {"a": "x" * 17_000}}]},
        [("#/messages/1/metadata", LARGE)],
    ),
    "metadata that grows, in a batch": (
        "/batch",
        {
            "messages": [
                USER,
                USER | {"metadata": {"a": [-1e-300] * 100}},
                USER,
                USER | {"metadata": {"a": [1e16] * 900}},
            ]
        },
        [("#/messages/1/metadata", LARGE), ("#/messages/3/metadata", LARGE)],
    ),
    "no batch": ("/batch", {"messages": []}, [("#/messages", "must have at least 1 item")]),
    "no list": ("/batch", {"messages": {"canary": 1}}, [("#/messages", "must be a list")]),
    "another name": ("/batch", {"canary": []}, [("#/messages", "is required")]),
    "501 messages": ("/batch", {"messages": [USER] * 501}, [("#/messages", "must have at most 500 items")]),
    "30 faults": (
        "/batch",
        {"messages": [{"role": "user"}] * 30},
        [(f"#/messages/{one}/content", "is required") for one in range(20)],
    ),
}


@pytest.mark.parametrize(("path", "body", "places"), FAULTS.values(), ids=FAULTS.keys())
async def test_a_refusal_names_every_member_at_fault(
    chat: Chat, path: str, body: Any, places: list[tuple[str, str]]
) -> None:
    """By its pointer, with what is wrong in plain words, at most 20 of them, and nothing of the body."""
    session = (await chat.open(Person())).json()

    answer = await chat.raw("POST", f"/sessions/{session['id']}/messages{path}", json.dumps(body).encode())

    named = [(one["pointer"], one["detail"]) for one in answer.json()["errors"]]
    assert answer.status_code == 422
    assert [pointer for pointer, _ in named] == [pointer for pointer, _ in places]
    assert all(words in detail for (_, detail), (_, words) in zip(named, places, strict=True)), named
    assert "canary" not in answer.text


async def test_a_refused_title_is_explained(chat: Chat) -> None:
    """Its pattern is in the document, and not for reading."""
    answer = await chat.open(Person(), title="a\nb")

    assert answer.json()["errors"] == [{"pointer": "#/title", "detail": "must be one line with something in it to see"}]


@pytest.mark.parametrize(
    ("path", "parameter", "code"),
    [
        ("/users/user_a/sessions?limit=0", "limit", "limit"),
        ("/users/user_a/sessions?limit=canary", "limit", "limit"),
        ("/users/user_a/sessions?limit=1&limit=1", "limit", "limit"),
        ("/users/user_a/sessions?cursor=canary", "cursor", "cursor"),
        (f"/users/user_a/sessions?q={'canary' * 40}", "q", "q"),
        (f"/sessions/{SESSION}/messages?before=canary", "before", "cursor"),
        ("/users/user_a/sessions?q=%ff", "q", "query"),
        ("/users/user_a/sessions?q=a&canary=1&status=%ED%A0%80canary", "status", "query"),
        ("/scenarios?include_inactive=%C3", "include_inactive", "query"),
        (f"/sessions/{SESSION}/messages?before=canary%FE", "before", "query"),
        ("/users/canary/sessions", "clerk_id", "clerk_id"),
        ("/users/canary/stats", "clerk_id", "clerk_id"),
    ],
)
async def test_a_refusal_names_the_parameter(chat: Chat, path: str, parameter: str, code: str) -> None:
    problem = (await chat.get(path)).json()

    assert (problem["status"], problem["code"]) == (422, code)
    assert [one["parameter"] for one in problem["errors"]] == [parameter]
    assert "canary" not in str(problem)


async def test_a_query_string_that_cannot_be_read_is_explained_without_a_name_of_the_callers(chat: Chat) -> None:
    """A parameter that no route has, and too many of them; all that have a name are named."""
    path = "/users/user_a/sessions?"
    queries = ["canary=%ff", "%ff=canary", "&".join(["canary=1"] * 21), "q=%fe&canary=%ff&limit=%c3"]

    answers = [await chat.get(path + query) for query in queries]

    meaning = {"detail": "The query string is not percent-encoded UTF-8, or has more than 20 parameters."}
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(422, "query")}
    assert [answer.json()["errors"] for answer in answers[:3]] == [[meaning]] * 3
    assert answers[3].json()["errors"] == [meaning | {"parameter": "q"}, meaning, meaning | {"parameter": "limit"}]
    assert all("canary" not in answer.text for answer in answers)


def test_every_parameter_of_a_query_string_has_a_name_here() -> None:
    paths = document(asgi.stranded_app().routes)["paths"]
    parameters = [one for item in paths.values() for operation in item.values() if isinstance(operation, dict)
                  for one in operation.get("parameters", ())]  # fmt: skip

    assert {one["name"] for one in parameters if one["in"] == "query"} == pagination.NAMES


def test_a_document_is_written_as_postgres_writes_it(database: psycopg.Connection[Any]) -> None:
    """So the bound is known before Postgres is asked: numbers of every size, and texts that look like them."""
    dice = random.Random(14)
    numbers: list[Any] = [struct.unpack(">d", dice.randbytes(8))[0] for _ in range(600)]
    numbers += [
        sign * digits * 10.0**exponent for sign in (1, -1) for digits in (0, 1, 1.5) for exponent in range(-8, 20)
    ]
    numbers += [5e-324, 1.7976931348623157e308, -0.0, 0, 10**99, 1e22, 123456789012345680.0]
    texts = ["1e+20", '"1e+20', '\\"1e+20, -0.0', "\\", "-0.0", "a\tb\x01\x1f\x7f", "\u00e9\U0001f600", "</\u2028"]
    values = [one for one in numbers if isinstance(one, int) or math.isfinite(one)] + texts
    documents = [{"a": [one]} for one in values] + [{one: {one: -0.0}} for one in texts]
    written = [write_document(one) for one in documents]

    rows = database.execute(
        "SELECT document::JSONB::TEXT AS text FROM unnest(%s::TEXT[])"
        " WITH ORDINALITY AS one (document, number) ORDER BY number",
        [written],
    ).fetchall()

    assert [row["text"] for row in rows] == written


async def test_preferences_nested_too_deeply_are_422(chat: Chat) -> None:
    """100 levels are stored; the keys of deeper ones are not quoted."""
    person = Person()
    await chat.open(person)
    path = f"/users/{person.clerk_id}/preferences"

    fits = await chat.put(path, {"a": json.loads("[" * 99 + "]" * 99)})
    answers = [await chat.put(path, {"canary": json.loads("[" * depth + "]" * depth)}) for depth in (100, 900)]

    assert [answer.status_code for answer in (fits, *answers)] == [200, 422, 422]
    assert all("100 deep" in answer.json()["detail"] and "canary" not in answer.text for answer in answers)


LONG_INTEGERS = {
    "310 digits": ("9" * 310, 422),
    "310 digits and a sign": ("-" + "9" * 310, 422),
    "as many as Python reads": ("9" * 4299, 422),
    "more than Python reads": ("9" * 5000, 422),
    "in a list in an object": ('[{"a": [' + "9" * 4299 + "]}]", 422),
    "behind a short one": ("[1, " + "1" * 400 + "]", 422),
    "309 digits": ("9" * 309, 200),
    "309 digits and a sign": ("-" + "9" * 309, 200),
    "a fraction of 4,000 digits": ("0." + "9" * 4000, 200),
    "an exponent of 4,000 digits": ("1e" + "0" * 4000, 200),
}


@pytest.mark.parametrize(("value", "status"), LONG_INTEGERS.values(), ids=LONG_INTEGERS.keys())
async def test_an_integer_has_at_most_309_digits(chat: Chat, value: str, status: int) -> None:
    """Python takes as long for one of 4,000 as for a thousand short ones. Wherever it stands, its member is named."""
    session = (await chat.open(person := Person())).json()
    document = f'{{"quoted": {value}}}'
    message = f'{{"role": "user", "content": "x", "metadata": {document}}}'
    path = f"/sessions/{session['id']}/messages"
    preferences = f"/users/{person.clerk_id}/preferences"
    batch = f'{{"messages": [{{"role": "user", "content": "x"}}, {message}]}}'
    asked = [
        ("#/metadata", await chat.raw("POST", path, message.encode())),
        ("#/messages/1/metadata", await chat.raw("POST", path + "/batch", batch.encode())),
        ("#", await chat.raw("PUT", preferences, document.encode())),
        ("#", await chat.raw("PATCH", preferences, document.encode())),
    ]

    assert {answer.status_code for _, answer in asked} <= {status, 201 if status == 200 else 422}
    if status == 422:
        for pointer, answer in asked:
            problem = answer.json()
            fault = {"pointer": pointer, "detail": "an integer may have at most 309 digits"}
            assert (problem["code"], problem["errors"]) == ("too_many_digits", [fault])
            assert "quoted" not in answer.text


async def test_a_number_that_was_answered_is_taken(chat: Chat) -> None:
    """Postgres writes one with an exponent in full, the largest as an integer of 309 digits."""
    await chat.open(person := Person())
    path = f"/users/{person.clerk_id}/preferences"
    for number in ("1.797e308", "-1.797e308", "1e100", "1.5e101", "1e-300", "1" * 150 + ".5", "1" * 309, "12345e303"):
        first = await chat.raw("PUT", path, b'{"a": %s}' % number.encode())
        again = await chat.raw("PUT", path, (await chat.get(path)).content)

        assert (first.status_code, again.status_code, again.text) == (200, 200, first.text), number


async def test_a_long_integer_in_a_member_that_is_not_read_costs_nothing(chat: Chat) -> None:
    """Nor does it become another number in one that is."""
    digits = "9" * 4299
    ignored = await chat.raw("POST", "/ensure-user", b'{"clerk_id": "user_a", "x": %s}' % digits.encode())
    read = await chat.raw("POST", "/ensure-user", b'{"clerk_id": "user_a", "email": %s}' % digits.encode())

    assert (ignored.status_code, read.status_code) == (201, 422)
    assert isinstance(parse_json(b'{"x": %s}' % digits.encode())["x"], LongInteger)
