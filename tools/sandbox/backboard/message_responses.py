"""What the sandbox answers to a message: an echo, whole or as a stream of events.

Shapes: backboard-sdk 1.5.19 (`MessageResponse`, `ChatMessagesResponse`) and the vendor's cookbook (the events). A token
is a word here. The answer is the same every time, so that a test can compare it.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from tools.sandbox.backboard.message_requests import MessageRequest
from tools.sandbox.backboard.records import Message, Thread, new_id
from tools.sandbox.backboard.switches import Switches
from tools.sandbox.http import EVENT_STREAM, Response, json_response

# What Backboard takes where a message names none.
DEFAULT_PROVIDER = "openai"
DEFAULT_MODEL = "gpt-4o"
CONTEXT_TOKENS = 128_000


@dataclass(frozen=True, slots=True)
class Turn:
    """A message that stands in its thread, and the reply to it, if one was wanted."""

    request: MessageRequest
    thread: Thread
    said: Message
    reply: Message | None
    retrieved: list[dict[str, Any]]
    memory_operation_id: str | None
    run_id: str = field(default_factory=new_id)

    @property
    def input_tokens(self) -> int:
        """Of the prompt and the message; the live service counts the thread before it as well."""
        return len(f"{self.request.settings.get('system_prompt', '')} {self.said.content}".split())

    @property
    def output_tokens(self) -> int:
        return len(self.reply.content.split()) if self.reply else 0

    @property
    def model_name(self) -> str:
        return str(self.request.settings.get("model_name", DEFAULT_MODEL))


def echo(request: MessageRequest) -> str:
    if request.content:
        return f"You said: {request.content}"
    return "You sent: " + ", ".join(attachment["filename"] for attachment in request.attachments)


def response_to(turn: Turn, switches: Switches, *, alone: bool) -> Response:
    """The answer as the request wants it; `alone` is the shape without `messages`."""
    if turn.request.stream and turn.reply:
        events = [json.dumps(event) for event in _events(turn, turn.reply, switches)]
        body = "".join(f"data: {event}\n\n" for event in events).encode()
        headers = (("Content-Type", EVENT_STREAM), ("Cache-Control", "no-cache"))
        return Response(200, body, headers, pace=switches.stream_pace)
    messages = [_answer(turn, message, switches) for message in (turn.said, turn.reply) if message]
    if alone or switches.message_answer == "reply":
        return json_response(200, messages[-1])
    return json_response(200, {"messages": messages, "context_usage": _context_usage(turn)})


def _events(turn: Turn, reply: Message, switches: Switches) -> list[dict[str, Any]]:
    """The words one by one; then the run's end, which has everything that is not content."""
    thread_id = turn.thread.id
    words = re.findall(r"\S+\s*|\s+", reply.content)
    events = [{"type": "content_streaming", "content": word, "thread_id": thread_id} for word in words]
    end = _answer(turn, reply, switches)
    del end["content"], end["message"]
    return [*events, {"type": "run_ended"} | end | {"status": "completed"}]


def _answer(turn: Turn, message: Message, switches: Switches) -> dict[str, Any]:
    """A message as an answer has it; `message` is an acknowledgement, and the text stands in `content`."""
    is_reply = message.role == "assistant"
    time = switches.spell(message.created_at)
    return {
        "message": "Message added successfully",
        "thread_id": turn.thread.id,
        "assistant_id": turn.thread.assistant_id,
        "message_id": message.id,
        "role": message.role,
        "content": message.content,
        "status": "COMPLETED",
        "tool_calls": None,
        "run_id": turn.run_id if is_reply else None,
        "memory_operation_id": turn.memory_operation_id if is_reply else None,
        "retrieved_memories": turn.retrieved if is_reply else None,
        "retrieved_files": None,
        "reasoning": None,
        "model_provider": turn.request.settings.get("llm_provider", DEFAULT_PROVIDER) if is_reply else None,
        "model_name": turn.model_name if is_reply else None,
        "input_tokens": turn.input_tokens if is_reply else None,
        "output_tokens": turn.output_tokens if is_reply else None,
        "total_tokens": turn.input_tokens + turn.output_tokens if is_reply else None,
        "created_at": time,
        "attachments": message.attachments,
        "timestamp": time,
    }


def _context_usage(turn: Turn) -> dict[str, Any]:
    used = turn.input_tokens + turn.output_tokens
    return {
        "percent": 100 * used / CONTEXT_TOKENS,
        "used_tokens": used,
        "context_limit": CONTEXT_TOKENS,
        "summary_tokens": 0,
        "model": turn.model_name,
    }
