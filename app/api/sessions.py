"""The chat's sessions: open, list, read, rename, end and delete them.

A request is authenticated (app.api.auth) before any of these handlers runs. Reads and writes of rows go through
ChatService; opening and deleting a session also change its thread at Backboard, so they have services of their own.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.routing import Route

from app import log
from app.api import codes, pagination
from app.api.auth import AuthenticatedRequest, Authenticator
from app.api.body import read_body
from app.api.limits import UserLimits
from app.api.openapi import Operation, parameter
from app.api.schemas import (
    ChangeSessionRequest,
    OpenSessionRequest,
    SearchSessionsRequest,
    SessionAnswer,
    SessionPage,
)
from app.chat.create_session import CreateSession
from app.chat.delete_session import DeleteSession
from app.chat.models import STATUSES, Scenario, Session, SessionRequest, SessionsRequest
from app.chat.scenarios import ScenarioService, not_active
from app.chat.service import ChatService
from app.clerk.users import Profile
from app.deadline import Deadline
from app.errors import Fault, InvalidRequest
from app.http.answers import answer_found
from app.http.requests import headers_named, while_connected
from app.http.responses import answer_json, answer_nothing
from app.users.service import UserService

DEFAULT_TITLE = "New Trip"
DEFAULT_LIMIT, MAX_LIMIT = 20, 100

# IETF draft "The Idempotency-Key HTTP Header Field". Quotes, if there are any, are part of the key.
_KEY = "[ -~]{1,255}"
_is_key = re.compile(_KEY.encode()).fullmatch

_LIMIT = parameter("query", "limit", pagination.LIMIT | {"maximum": MAX_LIMIT})
_CURSOR = parameter("query", "cursor", pagination.SESSION_CURSOR)
_SEARCH = parameter("query", "q", pagination.SEARCH)
_STATUS = parameter(
    "query",
    "status",
    {"type": "array", "items": {"enum": list(STATUSES)}, "minItems": 1},
    style="form",
    explode=False,
    description="Only sessions of these statuses; all without it.",
)

_LISTING: codes.Codes = {404: ["unknown_user"], 503: ["large_answers"]}
_SEARCHING: codes.Codes = {**_LISTING, 422: ["cursor"]}
_OPENING: codes.Codes = {
    404: ["unknown_at_clerk"],
    422: ["idempotency_key_reused", "scenario"],
    503: [*codes.CLERK, *codes.BACKBOARD],
}
_IDEMPOTENCY_KEY = parameter("header", "Idempotency-Key", {"type": "string", "pattern": f"^{_KEY}$"})


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """The handlers; the name of each is its event in the log."""

    users: UserService
    chat: ChatService
    scenarios: ScenarioService
    creation: CreateSession
    deletion: DeleteSession
    limits: UserLimits

    def routes(self, authenticator: Authenticator) -> list[Route]:
        return [
            authenticator.route("/users/{clerk_id}/sessions", GET=self.list_sessions, POST=self.open_session),
            authenticator.route("/users/{clerk_id}/sessions/search", POST=self.search_sessions),
            authenticator.route(
                "/sessions/{session_id:uuid}",
                GET=self.get_session,
                PATCH=self.change_session,
                DELETE=self.delete_session,
            ),
        ]

    @Operation(body=OpenSessionRequest, answers={201: SessionAnswer}, parameters=[_IDEMPOTENCY_KEY], errors=_OPENING)
    async def open_session(self, request: AuthenticatedRequest) -> None:
        """Open a session, and make sure of its user."""
        self.limits.sessions.take(request.owner_id)
        body = await read_body(request, OpenSessionRequest)
        key = _idempotency_key(request)
        clerk_id, scenario = request.clerk_id(), await self._find_scenario(body.scenario, request.deadline)
        user, _ = await self.users.ensure(Profile(clerk_id), request.deadline)
        wanted = SessionRequest(user, body.title or DEFAULT_TITLE, key, scenario)
        session = await self.creation.create(wanted, request.deadline)
        log.bind(outcome="opened", session_id=str(session.session_id))
        await answer_json(request.send, HTTPStatus.CREATED, _content(session, scenario))

    async def _find_scenario(self, slug: str | None, deadline: Deadline) -> Scenario | None:
        """The scenario that a request names, active or not; InvalidRequest if there is none."""
        if slug is None:
            return None
        found = await self.scenarios.find([slug], deadline)
        if slug not in found:
            raise not_active()
        return found[slug]

    @Operation(answers={200: SessionPage}, parameters=[_LIMIT, _CURSOR, _STATUS, _SEARCH], errors=_LISTING)
    async def list_sessions(self, request: AuthenticatedRequest) -> None:
        """A user's sessions, newest activity first."""
        clerk_id, query = request.clerk_id(), pagination.Query(request.scope)
        limit, text = query.limit(default=DEFAULT_LIMIT, maximum=MAX_LIMIT), query.search()
        # One more than asked for shows whether there is another page.
        wanted = SessionsRequest(clerk_id, query.session_cursor(), limit + 1, query.statuses())
        if text is None:
            sessions = await self.chat.list_sessions(wanted)
        else:
            with self.limits.search(request.owner_id):
                sessions = await while_connected(request.receive, self._search(wanted, text, request.deadline))
        await self._answer_page(request, sessions, limit)

    @Operation(body=SearchSessionsRequest, answers={200: SessionPage}, errors=_SEARCHING)
    async def search_sessions(self, request: AuthenticatedRequest) -> None:
        """A user's sessions with a text in their title or messages.

        As the list with `q`, but the text is in no address, which routers and proxies log.
        """
        clerk_id = request.clerk_id()
        body = await read_body(request, SearchSessionsRequest)
        place = Fault(pointer="#/cursor")
        after = None if body.cursor is None else pagination.decode_session_cursor(body.cursor, place)
        wanted = SessionsRequest(clerk_id, after, body.limit + 1, body.status)
        with self.limits.search(request.owner_id):
            sessions = await while_connected(request.receive, self._search(wanted, body.q, request.deadline))
        await self._answer_page(request, sessions, body.limit)

    async def _search(self, wanted: SessionsRequest, text: str, deadline: Deadline) -> list[Session]:
        user = await self.users.find(wanted.clerk_id)
        return await self.chat.search_sessions(user.id, text, wanted, deadline)

    async def _answer_page(self, request: AuthenticatedRequest, sessions: Sequence[Session], limit: int) -> None:
        page = sessions[:limit]
        more = pagination.encode_session_cursor(page[-1]) if len(sessions) > limit else None
        content = {"sessions": await self._contents(page, request.deadline), "next": more}
        await answer_found(request.scope, request.send, HTTPStatus.OK, content, owner=request.owner_id)

    async def _contents(self, sessions: Sequence[Session], deadline: Deadline) -> list[dict[str, Any]]:
        """Sessions with their scenarios, all of which take one statement."""
        slugs = {one.scenario_slug for one in sessions if one.scenario_slug is not None}
        found = await self.scenarios.find(slugs, deadline)
        return [_content(one, found.get(one.scenario_slug or "")) for one in sessions]

    async def _answer_session(self, request: AuthenticatedRequest, session: Session) -> None:
        (content,) = await self._contents([session], request.deadline)
        await answer_json(request.send, HTTPStatus.OK, content)

    @Operation(answers={200: SessionAnswer})
    async def get_session(self, request: AuthenticatedRequest) -> None:
        """One session."""
        session = await self.chat.find_session(request.path_id("session_id"), request.owner_id, request.deadline)
        await self._answer_session(request, session)

    @Operation(body=ChangeSessionRequest, answers={200: SessionAnswer})
    async def change_session(self, request: AuthenticatedRequest) -> None:
        """Rename or end it."""
        body = await read_body(request, ChangeSessionRequest)
        session = await self.chat.update_session(
            request.path_id("session_id"),
            request.owner_id,
            title=body.title,
            status=body.status,
            deadline=request.deadline,
        )
        await self._answer_session(request, session)

    @Operation(answers={204: None}, errors={503: codes.BACKBOARD})
    async def delete_session(self, request: AuthenticatedRequest) -> None:
        """Delete it with its messages and its thread."""
        await self.deletion.delete(request.path_id("session_id"), request.owner_id, request.deadline)
        await answer_nothing(request.send)


def _idempotency_key(request: AuthenticatedRequest) -> str | None:
    values = headers_named(request.scope, b"idempotency-key")
    if not values:
        return None
    if len(values) != 1 or not _is_key(values[0]):
        raise InvalidRequest("idempotency_key", Fault(parameter="Idempotency-Key"))
    return values[0].decode()


def _content(session: Session, scenario: Scenario | None) -> dict[str, Any]:
    ended_at = session.ended_at
    return {
        "id": session.session_id,
        "clerk_id": session.clerk_id,
        "assistant_id": session.assistant_id,
        "thread_id": session.thread_id,
        "title": session.title,
        "status": session.status,
        "created_at": session.created_at,
        "last_active_at": session.last_active_at,
        "ended_at": ended_at,
        "duration_seconds": None if ended_at is None else (ended_at - session.created_at).total_seconds(),
        "message_count": session.message_count,
        "scenario": None if scenario is None else scenario._asdict(),
        "last_message": _last_message(session),
    }


def _last_message(session: Session) -> dict[str, Any] | None:
    if session.message_id is None:
        return None
    return {
        "id": session.message_id,
        "role": session.role,
        "content": session.preview,
        "created_at": session.message_created_at,
    }
