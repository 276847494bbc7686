"""Backboard's API: find an assistant by its name, create one, create threads under it.

Backboard's names are not unique and it has no idempotency key, so a create is never repeated blindly: its
outcome is *done*, *rejected*, *not sent*, *throttled* or *unknown*, and an unknown one is looked up by name
before the next try creates anything. Facts: the vendor's OpenAPI document "Backboard API" 1.0.0 and
backboard-sdk 1.5.19.
"""

import json
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, Literal
from uuid import UUID

import httpx

from app import log
from app.backboard.calls import Calls
from app.backboard.circuit_breaker import CircuitBreaker
from app.backboard.models import Assistant, Thread, add_page, read_assistant, read_json, read_memory_count, read_thread
from app.deadline import Deadline
from app.errors import OutcomeUnknown

LOOKUP_SECONDS = 2.0
DELETE_SECONDS = 3.0
PAGE_SECONDS = 10.0
THREADS_SECONDS = 4.0

LOOKUP_BYTES = 1024 * 1024
PAGE_BYTES = 16 * 1024 * 1024

LOOKUP_LIMIT = 10
PAGE_LIMIT = 200
MEMORY_PAGE_LIMIT = 100
# The vendor's SDK clamps `skip` here, so nothing after it can be listed.
LAST_SKIP = 10_000


class Backboard:
    """The calls that the service needs; all raise AssistantUnavailable or a class below it."""

    def __init__(self, client: httpx.AsyncClient, *, name_prefix: str, system_prompt: str | None) -> None:
        self._name_prefix = name_prefix
        self._system_prompt = system_prompt
        self.breaker = CircuitBreaker()
        self._calls = Calls(client, self.breaker)

    async def close(self) -> None:
        await self._calls.close()

    def name_of(self, clerk_id: str) -> str:
        """The name of a user's assistant, by which one without a committed row is found again."""
        return self._name_prefix + clerk_id

    async def create_assistant(self, clerk_id: str, deadline: Deadline) -> Assistant:
        """Create the user's assistant. OutcomeUnknown: it may exist all the same."""
        body: dict[str, str] = {"name": self.name_of(clerk_id)}
        if self._system_prompt is not None:
            body["system_prompt"] = self._system_prompt
        answer = await self._calls.create("/assistants", body, deadline)
        assistant = read_assistant(read_json(answer))
        if assistant.name != body["name"]:
            # It may be another user's: bind nothing, delete nothing.
            log.error("backboard_wrong_name", clerk_id=clerk_id, assistant_id=assistant.id)
            raise OutcomeUnknown("backboard_wrong_name")
        return assistant

    async def find_assistants(self, clerk_id: str, deadline: Deadline) -> list[Assistant]:
        """The assistants of exactly this user's name, the oldest first.

        A lookup that failed is an error, never "none". Older servers ignore the name filter: if other names are in the
        answer, every page is read.
        """
        name = self.name_of(clerk_id)
        until = Deadline(deadline.left(LOOKUP_SECONDS))
        listed = await self._list(until, LOOKUP_BYTES, name=name, limit=LOOKUP_LIMIT)
        if len(listed) >= LOOKUP_LIMIT or any(assistant.name != name for assistant in listed):
            listed = await self._list_everything(until, name)
        matches = {assistant.id: assistant for assistant in listed if assistant.name == name}
        if len(matches) > 1:
            log.bind(duplicates=len(matches))
        return sorted(matches.values(), key=lambda match: (match.created_at, match.id))

    async def delete_assistant(self, assistant_id: str, deadline: Deadline) -> None:
        """Delete an assistant with its memories and threads, for good; one that is not there counts as deleted.

        The memories go first: Backboard does not say that they go with the assistant, and without it they cannot be
        reached.
        """
        path = f"/assistants/{UUID(assistant_id)}"
        seconds = deadline.left(DELETE_SECONDS)
        await self._calls.send("DELETE", f"{path}/memories", seconds=seconds, missing_ok=True)
        await self._delete(path, deadline)

    async def count_memories(self, assistant_id: str, deadline: Deadline) -> int:
        """How much Backboard remembers of the user; 0 for an assistant that is not there."""
        path, seconds = f"/assistants/{UUID(assistant_id)}/memories", deadline.left(LOOKUP_SECONDS)
        answer = await self._calls.send("GET", path, seconds=seconds, cap=PAGE_BYTES, missing_ok=True)
        return 0 if answer.status == HTTPStatus.NOT_FOUND else read_memory_count(read_json(answer))

    async def list_memories(self, assistant_id: str, deadline: Deadline) -> list[Any]:
        """What Backboard remembers of the user, as it sends it; empty for an assistant that is not there."""
        path, memories = f"/assistants/{UUID(assistant_id)}/memories", dict[str, Any]()
        for page in range(1, LAST_SKIP):
            query = {"page": page, "page_size": MEMORY_PAGE_LIMIT}
            seconds = deadline.left(LOOKUP_SECONDS)
            answer = await self._calls.send("GET", path, params=query, seconds=seconds, cap=PAGE_BYTES, missing_ok=True)
            if answer.status == HTTPStatus.NOT_FOUND:
                break
            document = read_json(answer)
            count = read_memory_count(document)
            listed = {json.dumps(one): one for one in document.get("memories") or ()}
            if len(memories) + len(listed) < count and not listed.keys() - memories.keys():
                raise OutcomeUnknown("backboard_listing_repeats")
            memories |= listed
            if len(memories) >= count:
                break
        return list(memories.values())

    async def get_document(self, kind: Literal["assistants", "threads"], id_: str, deadline: Deadline) -> Any:
        """An assistant, or a thread with its messages, as Backboard sends it; None if it says that there is none."""
        path, seconds = f"/{kind}/{UUID(id_)}", deadline.left(PAGE_SECONDS)
        answer = await self._calls.send("GET", path, seconds=seconds, cap=PAGE_BYTES, missing_ok=True)
        return None if answer.status == HTTPStatus.NOT_FOUND else read_json(answer)

    async def get_assistant(self, assistant_id: str, deadline: Deadline) -> Assistant | None:
        """The assistant of this id, or None if Backboard says that there is none."""
        path, seconds = f"/assistants/{UUID(assistant_id)}", deadline.left(LOOKUP_SECONDS)
        answer = await self._calls.send("GET", path, seconds=seconds, missing_ok=True)
        return None if answer.status == HTTPStatus.NOT_FOUND else read_assistant(read_json(answer))

    async def rename_assistant(self, assistant_id: str, name: str, deadline: Deadline) -> None:
        """Give an assistant another name; a PUT changes only what it carries. One that is not there stays so."""
        path, seconds = f"/assistants/{UUID(assistant_id)}", deadline.left(DELETE_SECONDS)
        await self._calls.send("PUT", path, json={"name": name}, seconds=seconds, missing_ok=True)

    async def create_thread(self, assistant_id: str, deadline: Deadline) -> Thread:
        """Create a thread under an assistant. OutcomeUnknown: it may exist all the same; AssistantMissing."""
        # A POST without a body has been reported to be answered with 422.
        answer = await self._calls.create(f"/assistants/{UUID(assistant_id)}/threads", {}, deadline, of_assistant=True)
        return read_thread(read_json(answer))

    async def list_threads(self, assistant_id: str, deadline: Deadline) -> list[Thread]:
        """Every thread of an assistant, the oldest first; an error where not every page could be read.

        AssistantMissing where there is no such assistant.
        """
        until = Deadline(deadline.left(THREADS_SECONDS))
        path, threads = f"/assistants/{UUID(assistant_id)}/threads", dict[str, Thread]()
        async for page in self._pages(until, path, of_assistant=True):
            add_page(threads, [read_thread(item) for item in page])
        return sorted(threads.values(), key=lambda thread: (thread.created_at, thread.id))

    async def is_empty_thread(self, thread_id: str, deadline: Deadline) -> bool:
        """Whether there is such a thread and nothing was said in it.

        Only a thread that is asked for alone shows its messages for sure: Backboard's document promises them nowhere
        else, and a listing may print none for a thread that has some.
        """
        path, seconds = f"/threads/{UUID(thread_id)}", deadline.left(LOOKUP_SECONDS)
        answer = await self._calls.send("GET", path, seconds=seconds, cap=PAGE_BYTES, missing_ok=True)
        if answer.status == HTTPStatus.NOT_FOUND:
            return False
        document = read_json(answer)
        return read_thread(document).id == str(UUID(thread_id)) and document.get("messages") == []

    async def delete_thread(self, thread_id: str, deadline: Deadline) -> None:
        """Delete a thread with its messages, for good; one that is not there counts as deleted."""
        await self._delete(f"/threads/{UUID(thread_id)}", deadline)

    async def check_key(self, deadline: Deadline) -> None:
        """Return if Backboard accepts our key: the smallest listing there is, which changes nothing."""
        await self._list(deadline, LOOKUP_BYTES, limit=1)

    async def list_page(self, skip: int) -> list[Assistant]:
        """One page of every assistant that the key can see, of any name; a page that is not full is the last."""
        return await self._list(Deadline(), PAGE_BYTES, seconds=PAGE_SECONDS, skip=skip, limit=PAGE_LIMIT)

    async def _delete(self, path: str, deadline: Deadline) -> None:
        """A wrong address answers 404 as well, so a 404 is believed only from a server that lists assistants."""
        answer = await self._calls.send("DELETE", path, seconds=deadline.left(DELETE_SECONDS), missing_ok=True)
        if answer.status == HTTPStatus.NOT_FOUND:
            await self.check_key(deadline)

    async def _list_everything(self, until: Deadline, name: str) -> list[Assistant]:
        everything: dict[str, Assistant] = {}
        async for page in self._pages(until, "/assistants", name=name):
            add_page(everything, [read_assistant(item) for item in page])
        return list(everything.values())

    async def _pages(
        self, until: Deadline, path: str, *, of_assistant: bool = False, **parameters: str
    ) -> AsyncIterator[list[Any]]:
        """Every page of a listing; OutcomeUnknown where Backboard shows no more of it."""
        for skip in range(0, LAST_SKIP + 1, PAGE_LIMIT):
            query: dict[str, str | int] = {**parameters, "skip": skip, "limit": PAGE_LIMIT}
            seconds = until.left(LOOKUP_SECONDS)
            page = await self._calls.get_list(path, query, seconds=seconds, cap=PAGE_BYTES, of_assistant=of_assistant)
            yield page
            if len(page) < PAGE_LIMIT:
                return
        raise OutcomeUnknown("backboard_listing_cut")

    async def _list(
        self, until: Deadline, cap: int, *, seconds: float = LOOKUP_SECONDS, **parameters: str | int
    ) -> list[Assistant]:
        items = await self._calls.get_list("/assistants", parameters, seconds=until.left(seconds), cap=cap)
        return [read_assistant(item) for item in items]
