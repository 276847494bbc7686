"""What one API key sees at Backboard: assistants, threads, and the responses to well and badly formed calls.

Sans I/O: a request goes in, a response comes out. Strict where Backboard has stated something (the OpenAPI document
"Backboard API" 1.0.0, backboard-sdk 1.5.19); `Switches` holds what is not documented. Names are not unique, and every
create makes a new assistant, as at Backboard.
"""

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from tools.sandbox.backboard.validation import (
    HttpError,
    assistant_fields,
    check_range,
    checked_uuid,
    json_object,
    unprocessable,
)
from tools.sandbox.http import Request, Response, json_response

MOST_SKIP = 10_000
MOST_LIMIT = 200
BELOW_ASSISTANTS = {"threads": ("POST", "GET"), "memories": ("POST", "GET", "DELETE")}

# Backboard's documented defaults of a new assistant.
DEFAULTS: dict[str, Any] = {
    "system_prompt": None,
    "description": None,
    "tools": None,
    "tok_k": 10,
    "embedding_provider": "openai",
    "embedding_model_name": "text-embedding-3-large",
    "embedding_dims": 3072,
    "custom_fact_extraction_prompt": None,
    "custom_update_memory_prompt": None,
}


@dataclass(slots=True)
class Switches:
    """What is not known of the live service, to be set by a test or a person."""

    create_status: int = 200
    name_filter: bool = True
    visible_after: float = 0.0
    # Whether a listing of threads shows their messages: all of them, an empty array for each, or no such member. The
    # vendor's document promises them for one thread alone.
    listed_messages: Literal["shown", "empty", "absent"] = "shown"
    order: Literal["ascending", "descending", "random"] = "ascending"
    seed: int = 0
    echo_description: bool = False
    timestamps: Literal["z", "offset", "naive", "microseconds"] = "z"
    clamp_paging: bool = False
    extra_fields: bool = False
    latency: float = 0.0
    idle_seconds: float = 60.0


@dataclass(slots=True)
class Assistant:
    """An assistant; it stays on record after its deletion."""

    id: str
    name: str
    created_at: datetime
    fields: dict[str, Any]
    deleted_at: datetime | None = None
    made_at: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class Thread:
    id: str
    assistant_id: str
    created_at: datetime
    messages: int = 0
    made_at: float = field(default_factory=time.monotonic)


class Account:
    """Everything that belongs to one API key."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self.assistants: dict[str, Assistant] = {}
        self.threads: dict[str, Thread] = {}
        # By assistant. Whether they go with the assistant is not documented, so here they do not.
        self.memories: dict[str, list[str]] = {}

    def handle(self, request: Request) -> Response:
        try:
            status, payload = self._route(request)
        except HttpError as refusal:
            return refusal.response
        return json_response(status, payload)

    def name_of(self, assistant_id: str) -> str:
        """The name of an assistant, living or deleted; empty for an unknown id."""
        assistant = self.assistants.get(assistant_id.lower())
        return assistant.name if assistant else ""

    def make_assistant(self, name: str, *, created_at: datetime | None = None, **fields: Any) -> Assistant:
        now = datetime.now(UTC)
        assistant = Assistant(str(uuid4()), name, created_at or now, DEFAULTS | fields)
        self.assistants[assistant.id] = assistant
        return assistant

    def make_thread(self, assistant_id: str, *, created_at: datetime | None = None, messages: int = 0) -> Thread:
        thread = Thread(str(uuid4()), assistant_id, created_at or datetime.now(UTC), messages)
        self.threads[thread.id] = thread
        return thread

    def snapshot(self) -> "Snapshot":
        assistants = {key: replace(assistant) for key, assistant in self.assistants.items()}
        return assistants, dict(self.threads), {key: list(memories) for key, memories in self.memories.items()}

    def restore(self, snapshot: "Snapshot") -> None:
        self.assistants, self.threads, self.memories = snapshot

    def delete_assistant(self, assistant: Assistant) -> datetime:
        """Mark it as deleted; its threads go with it, for good."""
        assistant.deleted_at = datetime.now(UTC)
        self.threads = {key: thread for key, thread in self.threads.items() if thread.assistant_id != assistant.id}
        return assistant.deleted_at

    def _route(self, request: Request) -> tuple[int, Any]:
        match request.method, request.path.removeprefix("/api/").split("/"):
            case _, [*_, ""]:
                raise HttpError(404, "Not Found")
            case "POST", ["assistants"]:
                return self._switches.create_status, self._create(request)
            case "GET", ["assistants"]:
                return 200, self._list(request.query)
            case "GET" | "PUT" | "DELETE" as method, ["assistants", uuid]:
                return 200, self._one(method, self._living(uuid), request)
            case method, ["assistants", uuid, "threads" | "memories" as part] if method in BELOW_ASSISTANTS[part]:
                return self._below(part, method, self._living(uuid), request)
            case "GET", ["threads"]:
                return 200, self._threads_json(self.threads.values(), request.query)
            case "GET" | "DELETE" as method, ["threads", uuid]:
                return 200, self._thread(method, uuid)
            case _, ["assistants" | "threads"] | ["assistants" | "threads", _] | [
                "assistants",
                _,
                "threads" | "memories",
            ]:
                raise HttpError(405, "Method Not Allowed")
        raise HttpError(404, "Not Found")

    def _create(self, request: Request) -> dict[str, Any]:
        sent = assistant_fields(request, required=True)
        return self._assistant_json(self.make_assistant(sent.pop("name"), **sent))

    def _list(self, query: dict[str, str]) -> list[dict[str, Any]]:
        skip, limit = self._paging(query)
        horizon = time.monotonic() - self._switches.visible_after
        listed = [one for one in self.assistants.values() if one.deleted_at is None and one.made_at <= horizon]
        if self._switches.name_filter and "name" in query:
            listed = [one for one in listed if one.name == query["name"]]
        return [self._assistant_json(one) for one in self._ordered(listed)[skip : skip + limit]]

    def _ordered(self, listed: list[Assistant]) -> list[Assistant]:
        if self._switches.order == "random":
            # Seeded by id, so that the pages of one listing fit together.
            return sorted(listed, key=lambda one: random.Random(f"{self._switches.seed}{one.id}").random())
        descending = self._switches.order == "descending"
        return sorted(listed, key=lambda one: one.created_at, reverse=descending)

    def _one(self, method: str, assistant: Assistant, request: Request) -> dict[str, Any]:
        if method == "DELETE":
            deleted_at = self._time(self.delete_assistant(assistant))
            return {
                "message": "Assistant deleted successfully",
                "assistant_id": assistant.id,
                "deleted_at": deleted_at,
            }
        if method == "PUT":
            sent = assistant_fields(request, required=False)
            assistant.name = sent.pop("name", assistant.name)
            assistant.fields |= sent
        return self._assistant_json(assistant)

    def _threads_of(self, method: str, assistant: Assistant, request: Request) -> Any:
        if method == "GET":
            mine = [thread for thread in self.threads.values() if thread.assistant_id == assistant.id]
            return self._threads_json(mine, request.query)
        json_object(request)
        return self._thread_json(self.make_thread(assistant.id))

    def _below(self, part: str, method: str, assistant: Assistant, request: Request) -> tuple[int, Any]:
        if part == "threads":
            return 200, self._threads_of(method, assistant, request)
        return 201 if method == "POST" else 200, self._memories(method, assistant, request)

    def _memories(self, method: str, assistant: Assistant, request: Request) -> dict[str, Any]:
        memories = self.memories.setdefault(assistant.id, [])
        if method == "POST":
            memories.append(str(json_object(request).get("content", "")))
            return {"success": True, "memory_id": str(uuid4())}
        if method == "DELETE":
            memories.clear()
            return {"message": "All memories deleted successfully", "assistant_id": assistant.id}
        items = [{"id": f"{number}", "content": content} for number, content in enumerate(memories)]
        return {"memories": items, "total_count": len(items)}

    def _thread(self, method: str, uuid: str) -> dict[str, Any]:
        thread = self.threads.get(checked_uuid(uuid, "thread_id"))
        if thread is None:
            raise HttpError(404, "Thread not found")
        if method == "GET":
            return self._thread_json(thread)
        del self.threads[thread.id]
        deleted_at = self._time(datetime.now(UTC))
        return {"message": "Thread deleted successfully", "thread_id": thread.id, "deleted_at": deleted_at}

    def _living(self, uuid: str) -> Assistant:
        assistant = self.assistants.get(checked_uuid(uuid, "assistant_id"))
        if assistant is None or assistant.deleted_at is not None:
            raise HttpError(404, "Assistant not found")
        return assistant

    def _paging(self, query: dict[str, str]) -> tuple[int, int]:
        skip = self._number(query, "skip", 0, low=0, high=MOST_SKIP)
        return skip, self._number(query, "limit", 100, low=1, high=MOST_LIMIT)

    def _number(self, query: dict[str, str], name: str, default: int, *, low: int, high: int) -> int:
        try:
            number = int(query.get(name, default))
        except ValueError:
            raise unprocessable("int_parsing", "Input should be a valid integer", "query", name) from None
        if self._switches.clamp_paging:
            return max(low, min(number, high))
        check_range(number, "query", name, low=low, high=high)
        return number

    def _assistant_json(self, assistant: Assistant) -> dict[str, Any]:
        created_at = self._time(assistant.created_at)
        fields: dict[str, Any] = {"assistant_id": assistant.id, "name": assistant.name, "created_at": created_at}
        fields |= assistant.fields
        if self._switches.echo_description:
            fields["description"] = fields["system_prompt"]
        if self._switches.extra_fields:
            fields |= {"owner": {"id": 7}, "updated_at": created_at, "a_field_of_tomorrow": [None]}
        return fields

    def _threads_json(self, threads: Iterable[Thread], query: dict[str, str]) -> list[dict[str, Any]]:
        skip, limit = self._paging(query)
        horizon = time.monotonic() - self._switches.visible_after
        visible = [thread for thread in threads if thread.made_at <= horizon]
        listed = [self._thread_json(thread) for thread in visible[skip : skip + limit]]
        if self._switches.listed_messages == "empty":
            return [thread | {"messages": []} for thread in listed]
        if self._switches.listed_messages == "absent":
            return [{key: thread[key] for key in thread if key != "messages"} for thread in listed]
        return listed

    def _thread_json(self, thread: Thread) -> dict[str, Any]:
        created_at = self._time(thread.created_at)
        messages = [{"role": "user", "content": f"{number}"} for number in range(thread.messages)]
        return {"thread_id": thread.id, "created_at": created_at, "messages": messages, "metadata_": None}

    def _time(self, when: datetime) -> str:
        return TIMESTAMPS[self._switches.timestamps](when)


Snapshot = tuple[dict[str, Assistant], dict[str, Thread], dict[str, list[str]]]

TIMESTAMPS: dict[str, Callable[[datetime], str]] = {
    "z": lambda when: when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    "offset": lambda when: when.isoformat(timespec="milliseconds"),
    "naive": lambda when: when.replace(tzinfo=None).isoformat(timespec="milliseconds"),
    "microseconds": lambda when: when.isoformat(timespec="microseconds").replace("+00:00", "Z"),
}
