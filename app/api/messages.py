"""The messages of a session: add one or several, read them page by page, change the metadata of one, delete it.

A request is authenticated (app.api.auth) before any of these handlers runs; Backboard has no part in them.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

import orjson
from starlette.routing import Route

from app.api import codes, pagination
from app.api.auth import AuthenticatedRequest, Authenticator
from app.api.body import read_body
from app.api.limits import Reservation, UserLimits
from app.api.openapi import Operation, parameter
from app.api.schemas import (
    BatchRequest,
    ChangeMessageRequest,
    MessageAnswer,
    MessageList,
    MessagePage,
    MessageRequest,
)
from app.chat.models import Message, MessageIdConflict, NewMessage
from app.chat.repository import PAGE_BYTES
from app.chat.service import ChatService
from app.errors import Fault, InvalidRequest, NotFound
from app.http.answers import answer_found, answer_stored, reserve_answer
from app.http.requests import announced_length
from app.http.responses import answer_json, answer_nothing

DEFAULT_LIMIT, MAX_LIMIT = 50, 200
# 100,000 characters, each escaped as a surrogate pair, and the metadata.
MESSAGE_BYTES = 1_536 * 1024
BATCH_BYTES = 1024 * 1024
# A request counts as one message for each started 16 KiB: what a user may fill the database with is bounded as well.
LIMITED_LENGTH = 16 * 1024
# A page counts as one more read for each 64 KiB, and as the most that is usual until its length is known.
LIMITED_PAGE_LENGTH, USUAL_PAGE = 64 * 1024, 16

_LIMIT = parameter("query", "limit", pagination.LIMIT | {"maximum": MAX_LIMIT})
_BEFORE = parameter("query", "before", pagination.MESSAGE_CURSOR)

_ADDING: codes.Codes = {409: ["message_id_conflict"], 422: codes.DOCUMENT}


@dataclass(frozen=True, kw_only=True)
class Messages:
    """The handlers; the name of each is its event in the log."""

    chat: ChatService
    limits: UserLimits

    def routes(self, authenticator: Authenticator) -> list[Route]:
        path = "/sessions/{session_id:uuid}/messages"
        return [
            authenticator.route(path, GET=self.list_messages, POST=self.add_message),
            authenticator.route(path + "/batch", POST=self.add_messages),
            authenticator.route(path + "/{message_id:uuid}", PATCH=self.change_message, DELETE=self.delete_message),
        ]

    @Operation(body=MessageRequest, answers={201: MessageAnswer}, errors=_ADDING)
    async def add_message(self, request: AuthenticatedRequest) -> None:
        """Add a message.

        A repetition under the same id is answered as the first time.
        """
        with self._limited(request, MESSAGE_BYTES) as reservation:
            new = (await read_body(request, MessageRequest, MESSAGE_BYTES)).new_message()
            reservation.used = _tokens([new])
        (message,) = await self._append(request, [new], "#/id")
        await answer_stored(request.scope, request.send, HTTPStatus.CREATED, _content(message), owner=request.owner_id)

    @Operation(body=BatchRequest, answers={201: MessageList}, errors=_ADDING)
    async def add_messages(self, request: AuthenticatedRequest) -> None:
        """Add several, all or nothing.

        Those that are stored under their id already are answered as the first time, and the others stored behind.
        """
        with self._limited(request, BATCH_BYTES) as reservation:
            body = await read_body(request, BatchRequest, BATCH_BYTES)
            new = [message.new_message() for message in body.messages]
            reservation.used = _tokens(new)
        _check_ids(new)
        messages = await self._append(request, new, "#/messages/{}/id")
        content = {"messages": [_content(one) for one in messages]}
        await answer_stored(request.scope, request.send, HTTPStatus.CREATED, content, owner=request.owner_id)

    def _limited(self, request: AuthenticatedRequest, cap: int) -> AbstractContextManager[Reservation]:
        """Take one message, and reserve what the body may turn out to be, before any of it is read."""
        self.limits.messages.take(request.owner_id)
        length = min(cap, announced_length(request.scope, cap))
        return self.limits.messages.reserve(request.owner_id, length // LIMITED_LENGTH)

    async def _append(
        self, request: AuthenticatedRequest, messages: Sequence[NewMessage], pointer: str
    ) -> list[Message]:
        """Store messages; a conflict names them by this pointer to the id of the one of a number."""
        try:
            return await self.chat.append(request.path_id("session_id"), request.owner_id, messages, request.deadline)
        except MessageIdConflict as error:
            faults = [Fault("belongs to another message", pointer.format(number)) for number in error.numbers]
            raise MessageIdConflict(error.numbers, *faults) from error

    @Operation(
        answers={200: MessagePage}, parameters=[_LIMIT, _BEFORE], errors={422: ["cursor"], 503: ["large_answers"]}
    )
    async def list_messages(self, request: AuthenticatedRequest) -> None:
        """The last messages, in chronological order."""
        session_id, query = request.path_id("session_id"), pagination.Query(request.scope)
        limit, before = query.limit(default=DEFAULT_LIMIT, maximum=MAX_LIMIT), query.message_cursor()
        reserve = partial(reserve_answer, request.scope, PAGE_BYTES, request.owner_id)
        with self.limits.reads.reserve(request.owner_id, USUAL_PAGE) as reservation:
            page = await self.chat.history(
                session_id, request.owner_id, before, limit, request.deadline, before_large=reserve
            )
            reservation.used = _length(page.messages) // LIMITED_PAGE_LENGTH
        earlier = pagination.encode_message_cursor(page.messages[-1]) if page.has_more else None
        content = {"messages": [_content(one) for one in reversed(page.messages)], "before": earlier}
        await answer_found(request.scope, request.send, HTTPStatus.OK, content, owner=request.owner_id)

    @Operation(body=ChangeMessageRequest, answers={200: MessageAnswer}, errors={422: codes.MERGED_DOCUMENT})
    async def change_message(self, request: AuthenticatedRequest) -> None:
        """Change its metadata."""
        self.limits.messages.take(request.owner_id)
        patch = (await read_body(request, ChangeMessageRequest)).patch()
        session_id, message_id = request.path_id("session_id"), request.path_id("message_id")
        message = await self.chat.update_metadata(message_id, session_id, request.owner_id, patch, request.deadline)
        await answer_json(request.send, HTTPStatus.OK, _content(message))

    @Operation(answers={204: None})
    async def delete_message(self, request: AuthenticatedRequest) -> None:
        """Delete a message."""
        session_id, message_id = request.path_id("session_id"), request.path_id("message_id")
        if not await self.chat.delete_message(message_id, session_id, request.owner_id, request.deadline):
            raise NotFound("message_missing")
        await answer_nothing(request.send)


def _check_ids(messages: Sequence[NewMessage]) -> None:
    ids = set()
    faults = []
    for number, message in enumerate(messages):
        if message.id in ids:
            faults.append(Fault("must not be the id of a message before it", pointer=f"#/messages/{number}/id"))
        elif message.id:
            ids.add(message.id)
    if faults:
        raise InvalidRequest("shape", *faults)


def _length(messages: Iterable[Message | NewMessage]) -> int:
    """Characters of text and metadata."""
    return sum(len(one.content) + len(one.metadata or "") for one in messages)


def _tokens(messages: Sequence[NewMessage]) -> int:
    """How many messages they count as, besides the one that every request does."""
    return (_length(messages) - 1) // LIMITED_LENGTH


def _content(message: Message) -> dict[str, Any]:
    return {
        "id": message.message_id,
        "session_id": message.session_id,
        "role": message.role,
        "content": message.content,
        # As Postgres wrote it: parsing it here could meet numbers that orjson cannot write back.
        "metadata": None if message.metadata is None else orjson.Fragment(message.metadata),
        "created_at": message.created_at,
    }
