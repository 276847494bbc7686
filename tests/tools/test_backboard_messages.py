"""The Backboard sandbox converses: every encoding of a message, whole answers and streams, and what breaks them."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.support.factories import API_KEY
from tools.sandbox import faults
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard import faults as backboard_faults
from tools.sandbox.faults import Fault
from tools.sandbox.http import Request

NAME = "clerk:user_sandbox"
UNKNOWN = "5d3c1bb4-0a52-4a8b-9c53-1f3a0c2c8f11"
JSON_HEADERS = {"x-api-key": API_KEY, "content-type": "application/json"}


@pytest.fixture
def thread(backboard: Sandbox) -> str:
    return backboard.make_thread(backboard.make_assistant(NAME).id).id


def events(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.headers["content-type"] == "text/event-stream"
    return [json.loads(line.removeprefix("data: ")) for line in response.text.split("\n\n") if line]


ENCODINGS: dict[str, Callable[[dict[str, str]], dict[str, Any]]] = {
    "JSON": lambda fields: {"json": fields | {"stream": fields["stream"] == "true"}},
    "JSON with text for a boolean": lambda fields: {"json": fields},
    "form": lambda fields: {"data": fields},
    "multipart form": lambda fields: {"files": {name: (None, value) for name, value in fields.items()}},
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("stream", ["false", "true"])
@pytest.mark.parametrize("path", ["/threads/messages", "/threads/{}/messages"])
def test_a_message_is_echoed_in_every_encoding(
    client: httpx.Client, backboard: Sandbox, thread: str, encoding: str, stream: str, path: str
) -> None:
    """The message and the reply stand in the thread afterwards, in this order."""
    content = "  Grüße,\r\nzwei Zeilen & 100 % = +1 "
    fields = {"thread_id": thread, "content": content, "stream": stream, "model_name": "gpt-5"}

    response = client.post(path.format(thread), **ENCODINGS[encoding](fields))

    assert response.status_code == 200, response.text
    said = [(message["role"], message["content"]) for message in client.get(f"/threads/{thread}").json()["messages"]]
    assert said == [("user", content), ("assistant", f"You said: {content}")]
    assert [message.settings for message in backboard.messages(thread)] == [{"model_name": "gpt-5"}, {}]
    if stream == "true":
        assert "".join(event.get("content", "") for event in events(response)) == f"You said: {content}"
    else:
        answer = response.json().get("messages", [response.json()])[-1]
        assert answer["content"] == f"You said: {content}"


def test_a_stream_ends_with_the_run(client: httpx.Client, thread: str) -> None:
    """A word an event; then the model, the tokens and the ids, so that a caller can store the reply."""
    sent = {"thread_id": thread, "content": "two words", "stream": True, "system_prompt": "Be kind."}

    *words, end = events(client.post("/threads/messages", json=sent))

    assert [(word["type"], word["content"]) for word in words] == [
        ("content_streaming", word) for word in ("You ", "said: ", "two ", "words")
    ]
    assert {
        "type": "run_ended",
        "status": "completed",
        "model_name": "gpt-4o",
        "thread_id": thread,
    }.items() <= end.items()
    assert (end["input_tokens"], end["output_tokens"], end["total_tokens"]) == (4, 4, 8)
    assert end["message_id"] == client.get(f"/threads/{thread}").json()["messages"][-1]["message_id"]


def test_a_stream_can_come_slowly(client: httpx.Client, backboard: Sandbox, thread: str) -> None:
    """The head is there, and the first event is not yet; the turn is done."""
    backboard.switches.stream_pace = 60
    sent = {"thread_id": thread, "content": "two words", "stream": True}

    with client.stream("POST", "/threads/messages", json=sent) as response, pytest.raises(httpx.ReadTimeout):
        response.read()

    assert len(backboard.messages(thread)) == 2


def test_a_message_makes_the_thread_that_it_does_not_name(client: httpx.Client, backboard: Sandbox) -> None:
    """With neither id an assistant as well, as at Backboard: both come back."""
    assistant = backboard.make_assistant(NAME).id

    first = client.post("/threads/messages", json={"content": "hi", "assistant_id": assistant}).json()["messages"][-1]
    second = client.post("/threads/messages", json={"content": "hi"}).json()["messages"][-1]

    assert first["assistant_id"] == assistant
    assert [thread.id for thread in backboard.threads(assistant)] == [first["thread_id"]]
    assert [thread.id for thread in backboard.threads(second["assistant_id"])] == [second["thread_id"]]
    assert len(backboard.made()) == 2


def test_the_older_route_answers_the_reply_alone(client: httpx.Client, backboard: Sandbox, thread: str) -> None:
    """The newer one too, behind a switch; without it the turn's messages, the reply last."""
    sent = {"content": "hi", "thread_id": thread}
    newer = client.post("/threads/messages", json=sent).json()
    older = client.post(f"/threads/{thread}/messages", json=sent).json()
    backboard.switches.message_answer = "reply"
    switched = client.post("/threads/messages", json=sent).json()

    assert [message["content"] for message in newer["messages"]] == ["hi", "You said: hi"]
    assert [answer["content"] for answer in (older, switched)] == ["You said: hi"] * 2


def test_a_message_may_ask_for_no_answer(client: httpx.Client, backboard: Sandbox, thread: str) -> None:
    client.post("/threads/messages", json={"content": "noted", "thread_id": thread, "send_to_llm": "false"})

    assert [(message.role, message.content) for message in backboard.messages(thread)] == [("user", "noted")]


def test_memory_is_written_and_read_as_the_mode_says(client: httpx.Client, backboard: Sandbox, thread: str) -> None:
    """`Auto` writes, `Readonly` only reads, and without a mode nothing is read."""
    answers = []
    for mode in ({"memory": "Auto"}, {"memory": "Readonly"}, {"memory": "Off"}, {}):
        sent = {"content": "I like tea", "thread_id": thread} | mode
        answers.append(client.post("/threads/messages", json=sent).json()["messages"][-1])

    (assistant,) = backboard.alive(NAME)
    assert backboard.memories(assistant.id) == ["I like tea"]
    assert [len(answer["retrieved_memories"]) for answer in answers] == [0, 1, 0, 0]
    operations = [answer["memory_operation_id"] for answer in answers]
    assert operations[1:] == [None] * 3
    status = client.get(f"/assistants/memories/operations/{operations[0]}").json()["status"]
    assert status == "COMPLETED"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 422),
        ({"content": ""}, 422),
        ({"content": 7}, 422),
        ({"content": "hi", "thread_id": "thread_1"}, 422),
        ({"content": "hi", "assistant_id": 7}, 422),
        ({"content": "hi", "stream": "yes please"}, 422),
        ({"content": "hi", "memory": "sometimes"}, 422),
        ({"content": "hi", "metadata": "{"}, 422),
        ({"content": "hi", "metadata": []}, 422),
        ({"content": "hi", "thread_id": UNKNOWN}, 404),
        ({"content": "hi", "assistant_id": UNKNOWN}, 404),
    ],
)
def test_a_message_is_validated(client: httpx.Client, backboard: Sandbox, fields: dict[str, Any], status: int) -> None:
    """Nothing is made for a message that is refused."""
    assert client.post("/threads/messages", json=fields).status_code == status
    assert (backboard.made(), backboard.threads()) == ([], [])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/threads/7/messages", 422),
        ("POST", f"/threads/{UNKNOWN}/messages", 404),
        ("PUT", "/threads/messages", 405),
        ("POST", "/threads/tool-outputs", 400),
        ("POST", f"/threads/{UNKNOWN}/runs/r/cancel", 404),
    ],
)
def test_unknown_threads_and_methods_are_refused(client: httpx.Client, method: str, path: str, status: int) -> None:
    assert client.request(method, path, json={"content": "hi"}).status_code == status


@pytest.mark.parametrize(
    ("fault", "stored", "status"),
    [
        (backboard_faults.status(429, retry_after="7"), 0, 429),
        (backboard_faults.status(500), 0, 500),
        (backboard_faults.status(500, after_commit=True), 2, 500),
        (faults.drops(), 0, None),
        (faults.drops(after_commit=True), 2, None),
        (faults.slow(0.01), 2, 200),
        (faults.cuts(), 2, None),
        (backboard_faults.twice(), 4, 200),
        (backboard_faults.forgets(), 0, 200),
    ],
    ids=str,
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_every_fault_can_happen_to_a_message(
    client: httpx.Client,
    backboard: Sandbox,
    thread: str,
    fault: Fault,
    stored: int,
    status: int | None,
    stream: bool,  # noqa: FBT001  # A parameter of the case, named by its id.
) -> None:
    """Before or after it is stored; without a status the answer is lost. Other calls take none of these faults."""
    backboard.next("send_message", fault, where=lambda name: name == NAME)
    sent = {"content": "hi there", "thread_id": thread, "stream": stream}

    try:
        answered = client.post("/threads/messages", json=sent).status_code
    except httpx.HTTPError:
        answered = None

    assert (answered, len(backboard.messages(thread))) == (status, stored)
    assert [(call.kind, call.name, call.fault) for call in backboard.calls()] == [("send_message", NAME, fault.name)]


@pytest.mark.parametrize(
    ("fault", "last"),
    [
        (backboard_faults.error_event(), {"type": "error", "error": "Made up by the sandbox"}),
        (backboard_faults.run_failed(), {"type": "run_failed", "message": "Made up by the sandbox"}),
        (backboard_faults.ends_early(), {"type": "content_streaming", "content": "said: "}),
    ],
    ids=str,
)
def test_a_stream_can_go_wrong_inside_a_200(
    client: httpx.Client, backboard: Sandbox, thread: str, fault: Fault, last: dict[str, str]
) -> None:
    """With an event that says so, or with an end that is missing; a whole answer has failed."""
    backboard.next("send_message", fault, fault)
    sent = {"content": "hi there", "thread_id": thread}

    said = events(client.post("/threads/messages", json=sent | {"stream": True}))
    whole = client.post("/threads/messages", json=sent).json()["messages"][-1]

    assert "run_ended" not in [event["type"] for event in said]
    assert said[0]["content"] == "You "
    assert last.items() <= said[-1].items()
    assert (whole["status"], whole["content"]) == ("FAILED", None)


def test_a_stream_that_is_cut_has_begun(client: httpx.Client, backboard: Sandbox, thread: str) -> None:
    """Words arrive, and the connection closes in the middle of an event."""
    backboard.next("send_message", faults.cuts())
    sent = {"content": "some more words", "thread_id": thread, "stream": True}
    seen: list[bytes] = []

    with client.stream("POST", "/threads/messages", json=sent) as response:
        try:
            seen += response.iter_raw()
        except httpx.RemoteProtocolError as error:
            seen.append(str(error).encode())

    assert b'"You "' in seen[0]
    assert b"run_ended" not in b"".join(seen)
    assert seen[-1].startswith(b"peer closed connection")


def test_no_fault_of_another_call_breaks_the_sandbox(backboard: Sandbox, thread: str) -> None:
    """Planned for any call it meets a stream as well, and is then a response like any other, or none."""
    body = {"content": "hi", "thread_id": thread, "stream": True}
    request = Request("POST", "/api/threads/messages", {}, JSON_HEADERS, json.dumps(body).encode())
    _, _, account = backboard.record(request)

    for name, make in backboard_faults.NAMED.items():
        response = make().altered(backboard.work(account, request, make()))
        assert response.status in range(200, 600), name
