"""The routes of a user's own figures and settings in the chat."""

import json
from http import HTTPStatus

import orjson
from starlette.routing import Route

from app.bodies import answer_json, read_request
from app.callers import Call, Callers, Endpoint
from app.chat_bodies import Preferences
from app.memory import Memory
from app.on_demand import OnDemand


class ChatUsers:
    """The handlers; each one's name is its event in the log."""

    def __init__(self, *, users: OnDemand, memory: Memory) -> None:
        self._users = users
        self._memory = memory

    def routes(self, callers: Callers) -> list[Route]:
        stats = Endpoint(callers, GET=self.get_stats)
        preferences = Endpoint(
            callers, GET=self.get_preferences, PUT=self.replace_preferences, PATCH=self.merge_preferences
        )
        return [
            Route("/users/{clerk_id}/stats", stats, methods=stats.methods),
            Route("/users/{clerk_id}/preferences", preferences, methods=preferences.methods),
        ]

    async def get_stats(self, call: Call) -> None:
        user = await self._users.find(call.clerk_id())
        stats = await self._memory.stats(user.id, call.deadline)
        answer = {
            "sessions": stats.sessions,
            "messages": {"user": stats.by_user, "assistant": stats.by_assistant},
            "first_activity_at": stats.first_at,
            "last_activity_at": stats.last_at,
        }
        await answer_json(call.send, HTTPStatus.OK, answer)

    async def get_preferences(self, call: Call) -> None:
        user = await self._users.find(call.clerk_id())
        document = await self._memory.preferences(user.id, call.deadline)
        await answer_json(call.send, HTTPStatus.OK, orjson.Fragment(document))

    async def replace_preferences(self, call: Call) -> None:
        await self._set(call, merge=False)

    async def merge_preferences(self, call: Call) -> None:
        await self._set(call, merge=True)

    async def _set(self, call: Call, *, merge: bool) -> None:
        request = await read_request(call.scope, call.receive, Preferences)
        # Escaped, so that half a surrogate pair reaches Postgres, which refuses it.
        wanted = json.dumps(request.root)
        user = await self._users.find(call.clerk_id())
        document = await self._memory.set_preferences(user.id, wanted, merge=merge, deadline=call.deadline)
        await answer_json(call.send, HTTPStatus.OK, orjson.Fragment(document))
