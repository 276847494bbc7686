"""What one API key sees at Backboard: assistants, threads, and the responses to well and badly formed calls.

Sans I/O: a request goes in, a response comes out. Strict where Backboard has stated something (the OpenAPI document
"Backboard API" 1.0.0, backboard-sdk 1.5.19); `Switches` holds what is not documented. Names are not unique, and every
create makes a new assistant, as at Backboard.
"""

import random
import time
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace
from datetime import datetime
from typing import Any

from tools.sandbox.backboard.memories import Memories
from tools.sandbox.backboard.message_requests import MessageRequest, ids_of_message, read_message
from tools.sandbox.backboard.message_responses import Turn, echo, response_to
from tools.sandbox.backboard.records import DEFAULTS, Assistant, Books, Memory, Message, Thread, new_id, now
from tools.sandbox.backboard.shapes import assistant_json, listed_thread_json, thread_json
from tools.sandbox.backboard.switches import Switches
from tools.sandbox.backboard.validation import (
    HttpError,
    assistant_fields,
    checked_uuid,
    json_object,
    paging,
)
from tools.sandbox.http import Request, Response, json_response

MOST_RETRIEVED = 5
# The name that an assistant gets which a message made; the real one's is not documented.
UNNAMED = "New Assistant"

Snapshot = tuple[dict[str, Assistant], dict[str, Thread], dict[str, list[Memory]], dict[str, list[str]]]


class Account:
    """Everything that belongs to one API key."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self.assistants: dict[str, Assistant] = {}
        self.threads: dict[str, Thread] = {}
        # By assistant. Whether they go with the assistant is not documented, so here they do not.
        self.memories: dict[str, list[Memory]] = {}
        # By the id of the operation: the memories that it made.
        self.memory_operations: dict[str, list[str]] = {}

    def handle(self, request: Request) -> Response:
        try:
            return self._route(request)
        except HttpError as refusal:
            return refusal.response

    def name_of(self, assistant_id: str) -> str:
        """The name of an assistant, living or deleted; empty for an unknown id."""
        assistant = self.assistants.get(assistant_id.lower())
        return assistant.name if assistant else ""

    def make_assistant(self, name: str, *, created_at: datetime | None = None, **fields: Any) -> Assistant:
        assistant = Assistant(new_id(), name, created_at or now(), DEFAULTS | fields)
        self.assistants[assistant.id] = assistant
        return assistant

    def make_thread(self, assistant_id: str, *, created_at: datetime | None = None, messages: int = 0) -> Thread:
        """Make one with as many messages in it."""
        said = [Message("user", f"{number}") for number in range(messages)]
        thread = Thread(new_id(), assistant_id, created_at or now(), said)
        self.threads[thread.id] = thread
        return thread

    def snapshot(self) -> Snapshot:
        return deepcopy((self.assistants, self.threads, self.memories, self.memory_operations))

    def restore(self, snapshot: Snapshot) -> None:
        self.assistants, self.threads, self.memories, self.memory_operations = snapshot

    def books(self) -> Books:
        return deepcopy(Books([*self.assistants.values()], [*self.threads.values()], self.memories))

    def fill(self, books: Books) -> None:
        """Go on with these, which are visible at once: the clock that they were made by may have been another one."""
        self.assistants = {one.id: replace(one, made_at=0.0) for one in books.assistants}
        self.threads = {one.id: replace(one, made_at=0.0) for one in books.threads}
        self.memories = books.memories

    def delete_assistant(self, assistant: Assistant) -> datetime:
        """Mark it as deleted; its threads go with it, for good."""
        assistant.deleted_at = now()
        self.threads = {key: thread for key, thread in self.threads.items() if thread.assistant_id != assistant.id}
        return assistant.deleted_at

    def assistant_of_message(self, request: Request) -> str:
        """The id of the assistant that a message goes to; empty where there is none yet."""
        thread_id, assistant_id = ids_of_message(request)
        thread = self.threads.get(thread_id)
        return thread.assistant_id if thread else assistant_id

    def _route(self, request: Request) -> Response:
        match request.path.removeprefix("/api/").split("/"):
            case [*_, ""]:
                raise HttpError(404, "Not Found")
            case ["assistants", *parts]:
                return json_response(*self._assistants_route(request.method, parts, request))
            case ["threads", *parts]:
                return self._threads_route(request.method, parts, request)
        raise HttpError(404, "Not Found")

    def _assistants_route(self, method: str, parts: list[str], request: Request) -> tuple[int, Any]:
        match method, parts:
            case "POST", []:
                return self._switches.create_status, self._create(request)
            case "GET", []:
                return 200, self._list(request.query)
            case "GET", ["memories", "operations", operation_id]:
                return 200, self._memory_operation(operation_id)
            case "GET" | "PUT" | "DELETE", [uuid]:
                return 200, self._one(method, self._living(uuid), request)
            case "POST" | "GET", [uuid, "threads"]:
                return 200, self._threads_of(method, self._living(uuid), request)
            case _, [uuid, "memories", *rest]:
                return self._memories_of(self._living(uuid)).respond(request, rest)
            case _, [] | [_] | [_, "threads"]:
                raise HttpError(405, "Method Not Allowed")
        raise HttpError(404, "Not Found")

    def _threads_route(self, method: str, parts: list[str], request: Request) -> Response:
        match method, parts:
            case "POST", ["messages"]:
                return self._converse(request)
            case "POST", [uuid, "messages"]:
                return self._converse(request, uuid)
            case "GET", []:
                return json_response(200, self._threads_json(self.threads.values(), request.query))
            case "GET" | "DELETE", [uuid]:
                return json_response(200, self._thread(method, uuid))
            case "POST", ["tool-outputs"] | [_, "runs", _, "submit-tool-outputs"]:
                raise HttpError(400, "No run of this thread waits for tool outputs")
            case "POST", [uuid, "runs", run_id, "cancel"]:
                # Also where the run has ended; here it always has.
                return json_response(200, {"thread_id": self._thread_of(uuid).id, "run_id": run_id, "cancelled": True})
            case _, [] | [_] | [_, "messages"]:
                raise HttpError(405, "Method Not Allowed")
        raise HttpError(404, "Not Found")

    def _converse(self, request: Request, thread_id: str | None = None) -> Response:
        """Put a message into its thread, and a reply behind it; the older route names the thread in its path."""
        wanted = read_message(request)
        thread = self._thread_of(thread_id) if thread_id else self._thread_for(wanted)
        memories = self._memories_of(self.assistants[thread.assistant_id])
        retrieved = [] if wanted.memory == "off" else memories.search(wanted.content, MOST_RETRIEVED)
        said = Message("user", wanted.content, wanted.metadata, wanted.attachments, wanted.settings)
        thread.messages.append(said)
        reply = Message("assistant", echo(wanted)) if wanted.answered else None
        thread.messages += [reply] if reply else []
        operation_id = self._remember(memories, wanted) if reply else None
        turn = Turn(wanted, thread, said, reply, retrieved, operation_id)
        return response_to(turn, self._switches, alone=thread_id is not None)

    def _thread_for(self, wanted: MessageRequest) -> Thread:
        """The thread that a message names, or a new one; with neither id an assistant is made as well."""
        if wanted.thread_id:
            return self._thread_of(wanted.thread_id)
        assistant = self._living(wanted.assistant_id) if wanted.assistant_id else self.make_assistant(UNNAMED)
        return self.make_thread(assistant.id)

    def _remember(self, memories: Memories, wanted: MessageRequest) -> str | None:
        """Keep the message as a memory where it says so; the real one extracts facts, some time later."""
        if wanted.memory != "auto" or not wanted.content:
            return None
        memory = Memory(wanted.content)
        memories.memories.append(memory)
        operation_id = new_id()
        self.memory_operations[operation_id] = [memory.id]
        return operation_id

    def _create(self, request: Request) -> dict[str, Any]:
        sent = assistant_fields(request, required=True)
        return assistant_json(self.make_assistant(sent.pop("name"), **sent), self._switches)

    def _list(self, query: dict[str, str]) -> list[dict[str, Any]]:
        part = paging(query, clamp=self._switches.clamp_paging)
        horizon = time.monotonic() - self._switches.visible_after
        listed = [one for one in self.assistants.values() if one.deleted_at is None and one.made_at <= horizon]
        if self._switches.name_filter and "name" in query:
            listed = [one for one in listed if one.name == query["name"]]
        return [assistant_json(one, self._switches) for one in self._ordered(listed)[part]]

    def _ordered(self, listed: list[Assistant]) -> list[Assistant]:
        if self._switches.order == "random":
            # Seeded by id, so that the pages of one listing fit together.
            return sorted(listed, key=lambda one: random.Random(f"{self._switches.seed}{one.id}").random())
        descending = self._switches.order == "descending"
        return sorted(listed, key=lambda one: one.created_at, reverse=descending)

    def _one(self, method: str, assistant: Assistant, request: Request) -> dict[str, Any]:
        if method == "DELETE":
            deleted_at = self._switches.spell(self.delete_assistant(assistant))
            done = {"message": "Assistant deleted successfully", "assistant_id": assistant.id}
            return done | {"deleted_at": deleted_at}
        if method == "PUT":
            sent = assistant_fields(request, required=False)
            assistant.name = sent.pop("name", assistant.name)
            assistant.fields |= sent
        return assistant_json(assistant, self._switches)

    def _threads_of(self, method: str, assistant: Assistant, request: Request) -> Any:
        if method == "GET":
            mine = [thread for thread in self.threads.values() if thread.assistant_id == assistant.id]
            return self._threads_json(mine, request.query)
        json_object(request)
        return thread_json(self.make_thread(assistant.id), self._switches)

    def _memories_of(self, assistant: Assistant) -> Memories:
        return Memories(self.memories.setdefault(assistant.id, []), self._switches)

    def _memory_operation(self, operation_id: str) -> dict[str, Any]:
        if operation_id not in self.memory_operations:
            raise HttpError(404, "Memory operation not found")
        made = self.memory_operations[operation_id]
        done = {"status": "COMPLETED", "memory_ids": made, "result_count": len(made)}
        return {"operation_id": operation_id} | done

    def _thread(self, method: str, uuid: str) -> dict[str, Any]:
        thread = self._thread_of(uuid)
        if method == "GET":
            return thread_json(thread, self._switches)
        del self.threads[thread.id]
        deleted_at = self._switches.spell(now())
        return {"message": "Thread deleted successfully", "thread_id": thread.id, "deleted_at": deleted_at}

    def _thread_of(self, uuid: str) -> Thread:
        thread = self.threads.get(checked_uuid(uuid, "thread_id"))
        if thread is None:
            raise HttpError(404, "Thread not found")
        return thread

    def _living(self, uuid: str) -> Assistant:
        assistant = self.assistants.get(checked_uuid(uuid, "assistant_id"))
        if assistant is None or assistant.deleted_at is not None:
            raise HttpError(404, "Assistant not found")
        return assistant

    def _threads_json(self, threads: Iterable[Thread], query: dict[str, str]) -> list[dict[str, Any]]:
        part = paging(query, clamp=self._switches.clamp_paging)
        horizon = time.monotonic() - self._switches.visible_after
        visible = [thread for thread in threads if thread.made_at <= horizon]
        return [listed_thread_json(thread, self._switches) for thread in visible[part]]
