"""The memories of an assistant: what follows /assistants/{id}/memories.

Shapes: backboard-sdk 1.5.19. A search finds what shares a word with the query; the live service compares meanings.
"""

import math
from dataclasses import dataclass
from typing import Any

from tools.sandbox.backboard.records import Memory, now
from tools.sandbox.backboard.switches import Switches
from tools.sandbox.backboard.validation import HttpError, check_range, json_object, unprocessable, whole_number
from tools.sandbox.http import Request

MOST_PAGE_SIZE = 100
DEFAULT_PAGE_SIZE = 25
MOST_FOUND = 50


@dataclass(frozen=True, slots=True)
class Memories:
    """The memories of one assistant, as its calls see and change them."""

    memories: list[Memory]
    switches: Switches

    def respond(self, request: Request, rest: list[str]) -> tuple[int, Any]:
        """The status and the body; `rest` is what follows `memories` in the path."""
        match request.method, rest:
            case "POST", []:
                return 201, self._add(json_object(request))
            case "POST", ["search"]:
                return 200, self._search(json_object(request))
            case "GET" | "DELETE", []:
                return 200, self._page(request.query) if request.method == "GET" else self._clear()
            case "GET", ["stats" | "insights" as part]:
                return 200, self._stats() if part == "stats" else self._insights()
            case "GET" | "PUT" | "DELETE" as method, [memory_id]:
                return 200, self._one(method, self._find(memory_id), request)
        raise HttpError(405, "Method Not Allowed")

    def search(self, query: str, limit: int) -> list[dict[str, Any]]:
        """The memories that share a word with the query, the best first."""
        wanted = set(query.lower().split())
        scores = [(len(wanted & set(memory.content.lower().split())), memory) for memory in self.memories]
        found = sorted((pair for pair in scores if pair[0]), key=lambda pair: -pair[0])
        return [self._json(memory) | {"score": shared / len(wanted)} for shared, memory in found[:limit]]

    def _page(self, query: dict[str, str]) -> dict[str, Any]:
        """All of them, or a page where one is asked for."""
        listed = [self._json(memory) for memory in self.memories]
        total = {"total_count": len(listed)}
        if "page" not in query:
            return {"memories": listed} | total
        page = whole_number(query["page"], "query", "page")
        size = whole_number(query.get("page_size", f"{DEFAULT_PAGE_SIZE}"), "query", "page_size")
        check_range(page, "query", "page", low=1, high=10**9)
        check_range(size, "query", "page_size", low=1, high=MOST_PAGE_SIZE)
        pages = {"page": page, "page_size": size, "total_pages": math.ceil(len(listed) / size)}
        return {"memories": listed[(page - 1) * size : page * size]} | total | pages

    def _add(self, sent: dict[str, Any]) -> dict[str, Any]:
        memory = Memory(_text(sent, "content"), sent.get("metadata"))
        self.memories.append(memory)
        return {"success": True, "memory_id": memory.id, "content": memory.content}

    def _search(self, sent: dict[str, Any]) -> dict[str, Any]:
        limit = whole_number(sent.get("limit", 5), "body", "limit")
        check_range(limit, "body", "limit", low=1, high=MOST_FOUND)
        found = self.search(_text(sent, "query"), limit)
        return {"memories": found, "total_count": len(found)}

    def _one(self, method: str, memory: Memory, request: Request) -> dict[str, Any]:
        if method == "DELETE":
            self.memories.remove(memory)
            return {"success": True, "message": "Memory deleted successfully"}
        if method == "PUT":
            sent = json_object(request)
            memory.content = _text(sent, "content")
            memory.metadata = sent.get("metadata", memory.metadata)
            memory.updated_at = now()
        return self._json(memory)

    def _find(self, memory_id: str) -> Memory:
        for memory in self.memories:
            if memory.id == memory_id:
                return memory
        raise HttpError(404, "Memory not found")

    def _clear(self) -> dict[str, Any]:
        self.memories.clear()
        return {"success": True, "message": "All memories deleted successfully"}

    def _stats(self) -> dict[str, Any]:
        updated = max((self.switches.spell(memory.updated_at) for memory in self.memories), default=None)
        return {"total_memories": len(self.memories), "last_updated": updated, "limits": {}}

    def _insights(self) -> dict[str, Any]:
        snapshot = {"totalMemories": len(self.memories)}
        return {"snapshot": snapshot, "contentSignals": {}, "breakdown": {}, "operations": []}

    def _json(self, memory: Memory) -> dict[str, Any]:
        return {
            "id": memory.id,
            "content": memory.content,
            "metadata": memory.metadata,
            "created_at": self.switches.spell(memory.created_at),
            "updated_at": self.switches.spell(memory.updated_at),
        }


def _text(sent: dict[str, Any], field: str) -> str:
    if field not in sent:
        raise unprocessable("missing", "Field required", "body", field)
    if not isinstance(sent[field], str):
        raise unprocessable("string_type", "Input should be a valid string", "body", field)
    return str(sent[field])
