"""What a chat sends is stored: half an emoji becomes U+FFFD, NUL is taken out, in every member that holds text."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.factories import Person
from tests.support.service import Chat, Service

pytestmark = pytest.mark.anyio

TEXTS = {
    "half an emoji at the end of a stream": ("Enjoy! \ud83d", "Enjoy! \ufffd"),
    "half an emoji at the beginning": ("\ude00 Enjoy!", "\ufffd Enjoy!"),
    "NUL": ("a\0b", "ab"),
    "NUL and half an emoji": ("\0\ud83d\0x", "\ufffdx"),
}
Send = Callable[[Chat, dict[str, Any], str], Awaitable[Any]]


async def _send(chat: Chat, method: str, path: str, body: dict[str, Any]) -> Any:
    """JSON with escapes: httpx would refuse half a pair."""
    answer = await chat.raw(method, path, json.dumps(body).encode())
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


async def content(chat: Chat, session: dict[str, Any], text: str) -> Any:
    path = f"/sessions/{session['id']}/messages"
    said = await _send(chat, "POST", path, {"role": "assistant", "content": text})
    assert (await chat.get(path)).json()["messages"] == [said]
    return said["content"]


async def one_of_a_batch(chat: Chat, session: dict[str, Any], text: str) -> Any:
    """The others are stored as they are."""
    path = f"/sessions/{session['id']}/messages"
    messages = [{"role": "user", "content": one} for one in ("first", text, "last")]
    await _send(chat, "POST", path + "/batch", {"messages": messages})
    first, stored, last = [one["content"] for one in (await chat.get(path)).json()["messages"]]
    assert (first, last) == ("first", "last")
    return stored


async def a_long_content(chat: Chat, session: dict[str, Any], text: str) -> Any:
    return (await content(chat, session, text + " " * 30_000)).rstrip()


async def metadata(chat: Chat, session: dict[str, Any], text: str) -> Any:
    body = {"role": "user", "content": "x", "metadata": {"a": {text: [text, 7]}}}
    said = await _send(chat, "POST", f"/sessions/{session['id']}/messages", body)
    ((key, (value, number)),) = said["metadata"]["a"].items()
    assert (key, number) == (value, 7)
    return value


async def a_new_title(chat: Chat, session: dict[str, Any], text: str) -> Any:
    opened = await _send(chat, "POST", f"/users/{session['clerk_id']}/sessions", {"title": text})
    return opened["title"]


async def a_changed_title(chat: Chat, session: dict[str, Any], text: str) -> Any:
    return (await _send(chat, "PATCH", f"/sessions/{session['id']}", {"title": text}))["title"]


async def preferences(chat: Chat, session: dict[str, Any], text: str) -> Any:
    path = f"/users/{session['clerk_id']}/preferences"
    await _send(chat, "PUT", path, {"a": text})
    stored = await _send(chat, "PATCH", path, {text: [text]})
    assert stored == {"a": stored["a"], stored["a"]: [stored["a"]]}
    return stored["a"]


MEMBERS: list[Send] = [
    content, one_of_a_batch, a_long_content, metadata, a_new_title, a_changed_title, preferences,
]  # fmt: skip


@pytest.mark.parametrize(("text", "stored"), TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("send", MEMBERS, ids=lambda send: send.__name__)
async def test_a_text_is_stored_whatever_it_holds(service: Service, send: Send, text: str, stored: str) -> None:
    chat = Chat(service.client)
    session = (await chat.open(Person())).json()

    assert await send(chat, session, text) == stored


async def test_a_search_for_a_text_with_nul_finds_what_was_stored(service: Service) -> None:
    chat = Chat(service.client)
    session = (await chat.open(Person())).json()
    await content(chat, session, "tram\0way")

    answer = await chat.get(f"/users/{session['clerk_id']}/sessions", params={"q": "tram\0way"})

    assert [one["id"] for one in answer.json()["sessions"]] == [session["id"]]


async def test_what_names_a_user_or_a_role_is_never_repaired(service: Service) -> None:
    """NUL in an id would make it another user's."""
    chat = Chat(service.client)
    session = (await chat.open(Person())).json()

    answers = [
        await chat.raw("POST", "/ensure-user", json.dumps({"clerk_id": session["clerk_id"] + "\0"}).encode()),
        await chat.say(session, "user\0", "x"),
        await chat.patch(f"/sessions/{session['id']}", {"status": "completed\0"}),
    ]

    assert [answer.status_code for answer in answers] == [422] * 3
