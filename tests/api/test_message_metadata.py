"""PATCH of a message: members of its metadata are set and taken out, and nothing else of it changes."""

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.support.factories import Person, event
from tests.support.service import Chat, Service

pytestmark = pytest.mark.anyio

Json = dict[str, Any]


@pytest.fixture
def chat(service: Service) -> Chat:
    return Chat(service.client)


@pytest.fixture
async def session(chat: Chat) -> Json:
    """A session without messages."""
    session: Json = (await chat.open(Person())).json()
    return session


def path_of(said: Json) -> str:
    return f"/sessions/{said['session_id']}/messages/{said['id']}"


# What stands there, what is sent, what becomes of it.
MERGES: dict[str, tuple[Any, Json, Any]] = {
    "a new member": ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
    "another value": ({"a": 1}, {"a": [None, "ü"]}, {"a": [None, "ü"]}),
    "null takes out": ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
    "null of what is not there": ({"a": 1}, {"b": None}, {"a": 1}),
    "the last member": ({"a": 1}, {"a": None}, {}),
    "nothing": ({"a": 1}, {}, {"a": 1}),
    "into no metadata": (None, {"a": 1}, {"a": 1}),
    "an object is replaced whole": ({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}, {"a": {"b": None}}),
    "a number that Postgres writes out": ({}, {"a": 1e20}, {"a": 1e20}),
    "names that look like something else": (
        {"0": 1, "": 2},
        {"0": None, "": None, "-1": 3, '"{,}': 4},
        {"-1": 3, '"{,}': 4},
    ),
    "quoted names": ({'a"b\\,{}': 1, "NULL": 2, "null": 3}, {'a"b\\,{}': None, "NULL": None}, {"null": 3}),
    "what cannot be stored": ({"ab": 1}, {"a\0b": 2}, {"ab": 2}),
}


async def test_members_are_set_and_taken_out(chat: Chat, session: Json) -> None:
    """All else of the message stays, and so does the session's last activity."""
    answers: Json = {}
    for name, (stored, change, _) in MERGES.items():
        said = (await chat.say(session, "assistant", name, metadata=stored)).json()
        before = (await chat.get(f"/sessions/{session['id']}")).json()

        answer = await chat.patch(path_of(said), {"metadata": change})

        assert answer.status_code == 200, name
        assert (await chat.get(f"/sessions/{session['id']}/messages?limit=1")).json()["messages"] == [answer.json()]
        assert (await chat.get(f"/sessions/{session['id']}")).json() == before
        assert answer.json() | {"metadata": 0} == said | {"metadata": 0}
        answers[name] = answer.json()["metadata"]

    assert answers == {name: merged for name, (_, _, merged) in MERGES.items()}


# With the code of each.
UNUSABLE: dict[str, tuple[Any, str]] = {
    "nothing": ({}, "shape"),
    "no object": ([], "json"),
    "metadata null": ({"metadata": None}, "shape"),
    "metadata a list": ({"metadata": []}, "shape"),
    "metadata a text": ({"metadata": "a"}, "shape"),
    "another member": ({"content": "a"}, "shape"),
    "too large": ({"metadata": {"a": "x" * 16_384}}, "document_too_large"),
    "too large when written out": ({"metadata": {"a": [1e300] * 60}}, "document_too_large"),
    "too large together": ({"metadata": {"more": "x" * 9_000}}, "document_full"),
    "together when written out": ({"metadata": {"a": [1e300] * 30}}, "document_full"),
    "with another taken out": ({"metadata": {"small": None, "more": "x" * 9_000}}, "document_full"),
    "too deep": ({"metadata": {"a": json.loads("[" * 101 + "]" * 101)}}, "too_deep"),
}


async def test_what_cannot_be_merged_is_422(chat: Chat, session: Json) -> None:
    """The bound of 16 KiB holds for what comes of it too, which has a code of its own; nothing is changed."""
    said = (await chat.say(session, "user", "hello", metadata={"kept": "x" * 9_000, "small": 1})).json()

    answers = {name: await chat.patch(path_of(said), body) for name, (body, _) in UNUSABLE.items()}

    assert {answer.status_code for answer in answers.values()} == {422}
    assert {name: answer.json()["code"] for name, answer in answers.items()} == {
        name: code for name, (_, code) in UNUSABLE.items()
    }
    places = {answer.json()["errors"][0]["pointer"] for answer in answers.values() if "document" in answer.text}
    assert places == {"#/metadata"}
    assert (await chat.get(f"/sessions/{session['id']}/messages")).json()["messages"] == [said]
    makes_room = await chat.patch(path_of(said), {"metadata": {"kept": None, "more": "x" * 9_000}})
    assert makes_room.status_code == 200


async def test_only_a_message_of_the_session_is_found(chat: Chat, service: Service, session: Json) -> None:
    """404 through another session and without a message; 410 once the user was deleted."""
    said = (await chat.say(session, "user", "hello")).json()
    other = (await chat.open(Person())).json()
    feedback = {"metadata": {"feedback": "up"}}
    paths = [
        path_of(said | {"session_id": other["id"]}),
        path_of(said | {"session_id": str(uuid4())}),
        path_of(said | {"id": str(uuid4())}),
        path_of(said | {"id": "x"}),
    ]

    answers = [await chat.patch(path, feedback) for path in paths]
    await service.deliver(event("user.deleted", {"id": session["clerk_id"], "deleted": True}))
    answers.append(await chat.patch(path_of(said), feedback))

    assert [answer.status_code for answer in answers] == [404, 404, 404, 404, 410]
