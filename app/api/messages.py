"""The routes of what is said in a session: add one message or several, read them, delete one."""

from http import HTTPStatus
from typing import Any

import orjson
from starlette.routing import Route

from app.api.auth import AuthenticatedRequest, Authenticator, MethodRouter
from app.api.pagination import Query, cursor_of_position
from app.api.schemas import BatchRequest, MessageRequest
from app.chat.models import Message
from app.chat.service import ChatService
from app.errors import NotFound
from app.http.requests import read_request
from app.http.responses import answer_json, answer_nothing

PAGE, MOST = 50, 200
# 100,000 characters, each escaped as a surrogate pair, and the metadata.
MESSAGE_BYTES = 1_536 * 1024
BATCH_BYTES = 4 * 1024 * 1024


class ChatMessages:
    """The handlers; each one's name is its event in the log."""

    def __init__(self, memory: ChatService) -> None:
        self._memory = memory

    def routes(self, callers: Authenticator) -> list[Route]:
        each = {
            "": MethodRouter(callers, GET=self.list_messages, POST=self.add_message),
            "/batch": MethodRouter(callers, POST=self.add_messages),
            "/{message_id:uuid}": MethodRouter(callers, DELETE=self.delete_message),
        }
        path = "/sessions/{session_id:uuid}/messages"
        return [Route(path + rest, endpoint, methods=endpoint.methods) for rest, endpoint in each.items()]

    async def add_message(self, call: AuthenticatedRequest) -> None:
        request = await read_request(call.scope, call.receive, MessageRequest, MESSAGE_BYTES)
        session_id = call.id("session_id")
        (message,) = await self._memory.append(session_id, call.owner_id, [request.said()], call.deadline)
        await answer_json(call.send, HTTPStatus.CREATED, _content(message))

    async def add_messages(self, call: AuthenticatedRequest) -> None:
        request = await read_request(call.scope, call.receive, BatchRequest, BATCH_BYTES)
        said = [message.said() for message in request.messages]
        messages = await self._memory.append(call.id("session_id"), call.owner_id, said, call.deadline)
        await answer_json(call.send, HTTPStatus.CREATED, {"messages": [_content(one) for one in messages]})

    async def list_messages(self, call: AuthenticatedRequest) -> None:
        session_id, query = call.id("session_id"), Query(call.scope)
        size = query.number("limit", default=PAGE, most=MOST)
        before = query.position("before", of=str(session_id))
        page, is_more = await self._memory.history(session_id, call.owner_id, before, size, call.deadline)
        earlier = cursor_of_position(page[-1].position, of=str(session_id)) if is_more else None
        messages = [_content(one) for one in reversed(page)]
        await answer_json(call.send, HTTPStatus.OK, {"messages": messages, "before": earlier})

    async def delete_message(self, call: AuthenticatedRequest) -> None:
        session_id, message_id = call.id("session_id"), call.id("message_id")
        if not await self._memory.delete_message(message_id, session_id, call.owner_id, call.deadline):
            raise NotFound
        await answer_nothing(call.send)


def _content(message: Message) -> dict[str, Any]:
    return {
        "id": message.message_id,
        "session_id": message.session_id,
        "role": message.role,
        "content": message.content,
        # Postgres has written it, and reading it here could meet numbers that our own JSON has no room for.
        "metadata": None if message.metadata is None else orjson.Fragment(message.metadata),
        "created_at": message.created_at,
    }
