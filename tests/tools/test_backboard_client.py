"""Backboard's own Python client, backboard-sdk, is content with the sandbox: every call that a chat backend makes.

Its models are strict, so a field that the sandbox forgets fails here.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.support.factories import API_KEY
from tools.sandbox import faults
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard import faults as backboard_faults
from tools.sandbox.faults import Fault

pytestmark = pytest.mark.anyio

NAME = "clerk:user_sandbox"


@pytest.fixture
async def sdk(backboard_sdk: Any, backboard: Sandbox) -> AsyncIterator[Any]:
    async with backboard_sdk.BackboardClient(API_KEY, base_url=backboard.url) as client:
        yield client


@pytest.fixture
async def thread_id(sdk: Any, backboard: Sandbox) -> UUID:
    thread = await sdk.create_thread(backboard.make_assistant(NAME).id)
    return UUID(str(thread.thread_id))


@pytest.mark.parametrize("timestamps", ["z", "offset", "naive", "microseconds"])
async def test_assistants(sdk: Any, backboard_sdk: Any, backboard: Sandbox, timestamps: Any) -> None:
    """Made, found by name, read, changed, deleted, and then unknown."""
    backboard.switches.timestamps = timestamps
    backboard.make_assistant("another")
    tool = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}

    made = await sdk.create_assistant(NAME, system_prompt="Be kind.", tools=[tool], tok_k=5, embedding_dims=256)
    changed = await sdk.update_assistant(made.assistant_id, name="renamed", description="Be brief.")
    deleted = await sdk.delete_assistant(made.assistant_id)

    assert (made.name, made.system_prompt, made.tools[0].function.name) == (NAME, "Be kind.", "now")
    assert (made.tok_k, made.embedding_dims) == (5, 256)
    assert (changed.name, changed.system_prompt) == ("renamed", "Be brief.")
    assert deleted["assistant_id"] == str(made.assistant_id)
    assert [one.name for one in await sdk.list_assistants(limit=2, name="another")] == ["another"]
    with pytest.raises(backboard_sdk.BackboardNotFoundError):
        await sdk.get_assistant(made.assistant_id)


@pytest.mark.parametrize(("switch", "shown"), [("shown", 2), ("empty", 0), ("absent", 0)])
async def test_threads(sdk: Any, backboard: Sandbox, thread_id: UUID, switch: Any, shown: int) -> None:
    """A listing may print `messages: []` for a thread with messages; the thread alone shows them."""
    backboard.switches.listed_messages = switch
    await sdk.add_message(thread_id, "hi", metadata={"page": 7})
    (assistant,) = backboard.alive(NAME)

    (everywhere,), (below,) = await sdk.list_threads(), await sdk.list_threads_for_assistant(assistant.id)
    thread = await sdk.get_thread(thread_id)
    deleted = await sdk.delete_thread(thread_id)

    assert [len(listed.messages) for listed in (everywhere, below)] == [shown, shown]
    assert [message.role.value for message in thread.messages] == ["user", "assistant"]
    assert [message.content for message in thread.messages] == ["hi", "You said: hi"]
    assert thread.messages[0].metadata_ == {"page": 7}
    assert (deleted["thread_id"], backboard.threads()) == (str(thread_id), [])


@pytest.mark.parametrize("more", [{}, {"thinking": {"effort": "high"}}], ids=["a form", "JSON"])
@pytest.mark.parametrize("answer", ["messages", "reply"])
async def test_a_message_to_a_thread(
    sdk: Any, backboard_sdk: Any, backboard: Sandbox, thread_id: UUID, more: dict[str, Any], answer: Any
) -> None:
    """Whole and streamed; the client sends a form, or JSON where it has settings for the model."""
    backboard.switches.message_answer = answer
    ask = {"llm_provider": "anthropic", "model_name": "claude", "memory": "Auto"} | more

    whole = await sdk.add_message(thread_id, "I like tea", **ask)
    stream = [event async for event in await sdk.add_message(thread_id, "two words", stream=True, **ask)]

    reply = whole.messages[-1]
    # The client's own model of a reply, which it does not apply itself.
    assert backboard_sdk.models.MessageResponse.model_validate(reply).content == whole.content
    assert (whole.content, whole.status, whole.thread_id) == ("You said: I like tea", "COMPLETED", str(thread_id))
    assert (reply["model_provider"], reply["model_name"], reply["total_tokens"]) == ("anthropic", "claude", 8)
    assert (await sdk.get_memory_operation_status(reply["memory_operation_id"])).status == "COMPLETED"
    assert "".join(event.get("content", "") for event in stream) == "You said: two words"
    assert (stream[-1]["type"], stream[-1]["model_name"]) == ("run_ended", "claude")
    assert len(backboard.messages(str(thread_id))) == 4


async def test_a_message_with_a_file(sdk: Any, thread_id: UUID, tmp_path: Path) -> None:
    """Sent as a multipart form; the file stands with the message."""
    (tmp_path / "notes.txt").write_text("tea")

    answer = await sdk.add_message(thread_id, files=[tmp_path / "notes.txt"])

    (attachment,) = (await sdk.get_thread(thread_id)).messages[0].attachments
    assert (attachment.filename, attachment.file_size_bytes) == ("notes.txt", 3)
    assert answer.content == "You sent: notes.txt"


async def test_a_conversation_without_a_thread_of_its_own(sdk: Any, backboard: Sandbox) -> None:
    """The vendor's primary way: the assistant is named, and the thread comes back."""
    assistant = backboard.make_assistant(NAME)
    prompt = {"system_prompt": "Be kind.", "metadata": {"page": 7}}

    first = await sdk.send_message("hi", assistant_id=assistant.id, **prompt)
    second = await sdk.send_message("again", thread_id=first.thread_id, **prompt)
    stream = [event async for event in await sdk.send_message("new", assistant_id=assistant.id, stream=True)]

    assert [first.assistant_id, second.thread_id] == [assistant.id, first.thread_id]
    assert second.context_usage.used_tokens == 6
    assert [thread.id for thread in backboard.threads(assistant.id)] == [first.thread_id, stream[-1]["thread_id"]]
    assert [message.content for message in backboard.messages(first.thread_id)][::2] == ["hi", "again"]
    assert backboard.messages(first.thread_id)[0].settings == {"system_prompt": "Be kind."}


async def test_memories(sdk: Any, backboard_sdk: Any, backboard: Sandbox) -> None:
    """Added, listed in pages, searched, read, changed, counted, deleted one by one and all at once."""
    assistant = backboard.make_assistant(NAME).id
    tea, *_ = [(await sdk.add_memory(assistant, text, {"type": "taste"}))["memory_id"] for text in ("tea", "a", "b")]

    page = await sdk.get_memories(assistant, page=2, page_size=2)
    found = await sdk.search_memories(assistant, "green TEA")
    changed = await sdk.update_memory(assistant, tea, "coffee")
    deleted = await sdk.delete_memory(assistant, tea)
    stats, insights = await sdk.get_memory_stats(assistant), await sdk.get_memory_insights(assistant)
    reset = await sdk.reset_memories(assistant)

    assert ([memory.content for memory in page.memories], page.total_count, page.total_pages) == (["b"], 3, 2)
    assert [(memory["id"], memory["score"]) for memory in found["memories"]] == [(tea, 0.5)]
    assert (changed.content, changed.metadata) == ("coffee", {"type": "taste"})
    assert (stats.total_memories, insights["snapshot"]) == (2, {"totalMemories": 2})
    assert [answer["success"] for answer in (deleted, reset)] == [True, True]
    assert (await sdk.get_memories(assistant)).memories == []
    with pytest.raises(backboard_sdk.BackboardNotFoundError):
        await sdk.get_memory(assistant, tea)


async def test_runs_have_always_ended(sdk: Any, backboard_sdk: Any, thread_id: UUID) -> None:
    """Nothing waits for a tool; a run that has ended may be cancelled, which changes nothing."""
    output = [{"tool_call_id": "call_1", "output": "12:00"}]

    assert await sdk.cancel_run(thread_id, "run_1")
    with pytest.raises(backboard_sdk.BackboardValidationError):
        await sdk.submit_tool_outputs_simple(thread_id, output)
    with pytest.raises(backboard_sdk.BackboardValidationError):
        await sdk.submit_tool_outputs(thread_id, "run_1", output)


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (backboard_faults.status(429, retry_after="7"), "BackboardRateLimitError", "429"),
        (backboard_faults.status(500, after_commit=True), "BackboardServerError", "500"),
        (backboard_faults.status(402), "BackboardAPIError", "402"),
        (faults.drops(after_commit=True), "BackboardAPIError", "Request failed"),
        (faults.cuts(), "BackboardAPIError", "Request failed"),
        (backboard_faults.error_event(), "BackboardAPIError", "Made up"),
        (backboard_faults.run_failed(), "BackboardAPIError", "Made up"),
    ],
    ids=str,
)
async def test_a_stream_that_fails_is_an_error_of_the_client(
    sdk: Any, backboard_sdk: Any, backboard: Sandbox, thread_id: UUID, fault: Fault, error: str, words: str
) -> None:
    backboard.next("send_message", fault)

    with pytest.raises(getattr(backboard_sdk, error), match=words):
        async for _ in await sdk.add_message(thread_id, "hi", stream=True):
            pass
