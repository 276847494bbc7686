"""POST /ensure-user: the chat backend asks for a user before it talks to them, or the user's own browser does."""

import json
from http import HTTPStatus

import orjson
from pydantic import ValidationError
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app import log
from app.api.auth import AuthenticatedRequest, Authenticator, MethodRouter
from app.api.schemas import EnsureUserRequest, OwnUserRequest, Preferences
from app.chat.service import ChatService
from app.clerk.users import Profile
from app.deadline import Deadline
from app.errors import InvalidRequest
from app.http.requests import read_json, read_json_body, read_request
from app.http.responses import HttpError, answer_json
from app.users.models import User
from app.users.service import UserService


class EnsureUser:
    """The endpoint, as an ASGI application: 200 for who was there, 201 for who was made."""

    def __init__(self, *, callers: Authenticator, users: UserService) -> None:
        self._callers = callers
        self._users = users

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        log.bind(event="ensure_user")
        deadline = Deadline()
        signed_in = await self._callers.identify(scope, deadline)
        profile = _profile(await read_json_body(scope, receive), signed_in)
        user, created = await self._users.ensure(profile, deadline)
        await answer_json(send, HTTPStatus.CREATED if created else HTTPStatus.OK, _content(user))


def _profile(body: bytes, signed_in: str | None) -> Profile:
    try:
        document = read_json(body)
        if signed_in is None:
            return EnsureUserRequest.model_validate(document).profile()
        wanted = OwnUserRequest.model_validate(document).clerk_id
        if wanted not in (None, signed_in):
            raise HttpError(HTTPStatus.FORBIDDEN, "other_user")
        return Profile(signed_in)
    except ValidationError as error:
        raise InvalidRequest("clerk_id" if error.errors()[0]["loc"] == ("clerk_id",) else "shape") from None


def _content(user: User) -> dict[str, object]:
    return {
        "id": user.id,
        "clerk_id": user.clerk_id,
        "assistant_id": user.assistant_id,
        "email": user.email,
        "name": user.name,
        "created_at": user.created_at,
    }


class ChatUsers:
    """The handlers; each one's name is its event in the log."""

    def __init__(self, *, users: UserService, memory: ChatService) -> None:
        self._users = users
        self._memory = memory

    def routes(self, callers: Authenticator) -> list[Route]:
        stats = MethodRouter(callers, GET=self.get_stats)
        preferences = MethodRouter(
            callers, GET=self.get_preferences, PUT=self.replace_preferences, PATCH=self.merge_preferences
        )
        return [
            Route("/users/{clerk_id}/stats", stats, methods=stats.methods),
            Route("/users/{clerk_id}/preferences", preferences, methods=preferences.methods),
        ]

    async def get_stats(self, call: AuthenticatedRequest) -> None:
        user = await self._users.find(call.clerk_id())
        stats = await self._memory.stats(user.id, call.deadline)
        answer = {
            "sessions": stats.sessions,
            "messages": {"user": stats.by_user, "assistant": stats.by_assistant},
            "first_activity_at": stats.first_at,
            "last_activity_at": stats.last_at,
        }
        await answer_json(call.send, HTTPStatus.OK, answer)

    async def get_preferences(self, call: AuthenticatedRequest) -> None:
        user = await self._users.find(call.clerk_id())
        document = await self._memory.preferences(user.id, call.deadline)
        await answer_json(call.send, HTTPStatus.OK, orjson.Fragment(document))

    async def replace_preferences(self, call: AuthenticatedRequest) -> None:
        await self._set(call, merge=False)

    async def merge_preferences(self, call: AuthenticatedRequest) -> None:
        await self._set(call, merge=True)

    async def _set(self, call: AuthenticatedRequest, *, merge: bool) -> None:
        request = await read_request(call.scope, call.receive, Preferences)
        # Escaped, so that half a surrogate pair reaches Postgres, which refuses it.
        wanted = json.dumps(request.root)
        user = await self._users.find(call.clerk_id())
        document = await self._memory.set_preferences(user.id, wanted, merge=merge, deadline=call.deadline)
        await answer_json(call.send, HTTPStatus.OK, orjson.Fragment(document))
