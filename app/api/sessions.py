"""The routes of the chat's sessions: open one, list, read, rename, end, delete."""

import re
from http import HTTPStatus
from typing import Any

from starlette.routing import Route

from app import log
from app.api.auth import AuthenticatedRequest, Authenticator, MethodRouter
from app.api.pagination import Query, cursor_of_place
from app.api.schemas import ChangeSessionRequest, OpenSessionRequest
from app.chat.create_session import CreateSession, SessionRequest
from app.chat.delete_session import DeleteSession
from app.chat.models import Session, SessionCursor
from app.chat.service import ChatService
from app.clerk.users import Profile
from app.errors import InvalidRequest
from app.http.requests import headers_named, read_request
from app.http.responses import answer_json, answer_nothing
from app.users.service import UserService

TITLE = "New Trip"
PAGE, MOST = 20, 100

# IETF draft "The Idempotency-Key HTTP Header Field". Quoted or not, it counts as it stands.
_KEY = re.compile(rb"[ -~]{1,255}")


class ChatSessions:
    """The handlers; each one's name is its event in the log."""

    def __init__(
        self, *, users: UserService, opening: CreateSession, closing: DeleteSession, memory: ChatService
    ) -> None:
        self._users = users
        self._opening = opening
        self._closing = closing
        self._memory = memory

    def routes(self, callers: Authenticator) -> list[Route]:
        many = MethodRouter(callers, GET=self.list_sessions, POST=self.open_session)
        one = MethodRouter(callers, GET=self.get_session, PATCH=self.change_session, DELETE=self.delete_session)
        return [
            Route("/users/{clerk_id}/sessions", many, methods=many.methods),
            Route("/sessions/{session_id:uuid}", one, methods=one.methods),
        ]

    async def open_session(self, call: AuthenticatedRequest) -> None:
        request = await read_request(call.scope, call.receive, OpenSessionRequest)
        key = _idempotency_key(call)
        user, _ = await self._users.ensure(Profile(call.clerk_id()), call.deadline)
        session = await self._opening.open(SessionRequest(user, request.title or TITLE, key), call.deadline)
        log.bind(outcome="opened", session_id=str(session.session_id))
        await answer_json(call.send, HTTPStatus.CREATED, _content(session))

    async def list_sessions(self, call: AuthenticatedRequest) -> None:
        clerk_id, query = call.clerk_id(), Query(call.scope)
        size, text = query.number("limit", default=PAGE, most=MOST), query.text("q")
        after = query.place("cursor", of=clerk_id)
        user = await self._users.find(clerk_id)
        found = await self._memory.list_sessions(user.id, text, after, size + 1, call.deadline)
        page = found[:size]
        more = None
        if len(found) > size:
            more = cursor_of_place(SessionCursor(page[-1].last_active_at, page[-1].session_id), of=clerk_id)
        await answer_json(call.send, HTTPStatus.OK, {"sessions": [_content(one) for one in page], "next": more})

    async def get_session(self, call: AuthenticatedRequest) -> None:
        session = await self._memory.find_session(call.id("session_id"), call.owner_id, call.deadline)
        await answer_json(call.send, HTTPStatus.OK, _content(session))

    async def change_session(self, call: AuthenticatedRequest) -> None:
        request = await read_request(call.scope, call.receive, ChangeSessionRequest)
        session = await self._memory.update_session(
            call.id("session_id"), call.owner_id, title=request.title, status=request.status, deadline=call.deadline
        )
        await answer_json(call.send, HTTPStatus.OK, _content(session))

    async def delete_session(self, call: AuthenticatedRequest) -> None:
        await self._closing.delete(call.id("session_id"), call.owner_id, call.deadline)
        await answer_nothing(call.send)


def _idempotency_key(call: AuthenticatedRequest) -> str | None:
    given = headers_named(call.scope, b"idempotency-key")
    if not given:
        return None
    if len(given) != 1 or not _KEY.fullmatch(given[0]):
        raise InvalidRequest("idempotency_key")
    return given[0].decode()


def _content(session: Session) -> dict[str, Any]:
    ended_at = session.ended_at
    return {
        "id": session.session_id,
        "clerk_id": session.clerk_id,
        "assistant_id": session.held_id,
        "thread_id": session.thread_id,
        "title": session.title,
        "status": session.status,
        "created_at": session.created_at,
        "last_active_at": session.last_active_at,
        "ended_at": ended_at,
        "duration_seconds": None if ended_at is None else (ended_at - session.created_at).total_seconds(),
        "last_message": _last_message(session),
    }


def _last_message(session: Session) -> dict[str, Any] | None:
    if session.message_id is None:
        return None
    return {
        "id": session.message_id,
        "role": session.role,
        "content": session.beginning,
        "created_at": session.said_at,
    }
