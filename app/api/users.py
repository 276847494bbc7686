"""POST /ensure-user, and a user's row, stats and preferences.

The path of POST /ensure-user, which the chat backend or the user's own browser asks before a conversation starts:

1. app.http.middleware starts the request's log line and clock, and refuses an oversized head.
2. app.api.auth authenticates the bearer token: a service token may name any user, a session token only its own.
3. `ensure_user` reads the JSON body under a size cap and validates it: 415, 413, 422, or 403 for another user's id.
4. UserService.ensure looks the user up. A row is the answer; a deleted user is 410. For an unknown user it asks Clerk,
   if there is a key for Clerk's API, and hands Clerk's profile to Provisioning, which webhooks use as well.
5. The answer is 200 for a user with a row, 201 for a new one. Errors become problem documents in the middleware,
   which also writes the request's one log line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

import orjson
from starlette.routing import Route

from app import log
from app.api import codes
from app.api.auth import AuthenticatedRequest, Authenticator
from app.api.body import read_body
from app.api.limits import UserLimits
from app.api.openapi import Operation
from app.api.schemas import EnsuredUser, EnsureUserRequest, OwnUserRequest, Preferences, StatsAnswer
from app.chat.models import Stats
from app.chat.service import ChatService
from app.clerk.users import Profile
from app.deadline import Deadline
from app.http.requests import while_connected
from app.http.responses import HttpError, answer_json
from app.users.models import User
from app.users.service import UserService

_FINDING: dict[int, Sequence[str]] = {404: ["unknown_user"]}
_ENSURING: codes.Codes = {
    403: ["other_user"],
    404: ["unknown_at_clerk"],
    410: ["deleted"],
    422: ["clerk_id"],
    503: [*codes.CLERK, *codes.BACKBOARD],
}


@dataclass(frozen=True, kw_only=True)
class Users:
    """The handlers; the name of each is its event in the log."""

    users: UserService
    chat: ChatService
    limits: UserLimits

    def routes(self, authenticator: Authenticator) -> list[Route]:
        return [
            authenticator.route("/ensure-user", POST=self.ensure_user),
            authenticator.route("/users/{clerk_id}", GET=self.get_user),
            authenticator.route("/users/{clerk_id}/stats", GET=self.get_stats),
            authenticator.route(
                "/users/{clerk_id}/preferences",
                GET=self.get_preferences,
                PUT=self.replace_preferences,
                PATCH=self.merge_preferences,
            ),
        ]

    @Operation(body=EnsureUserRequest | OwnUserRequest, answers={200: EnsuredUser, 201: EnsuredUser}, errors=_ENSURING)
    async def ensure_user(self, request: AuthenticatedRequest) -> None:
        """Make sure of a user, their row and their assistant.

        200 for a user who has a row, 201 for one who got it now.
        """
        profile = await _read_profile(request)
        user, created = await self.users.ensure(profile, request.deadline)
        await answer_json(request.send, HTTPStatus.CREATED if created else HTTPStatus.OK, _content(user))

    @Operation(answers={200: EnsuredUser}, errors=_FINDING)
    async def get_user(self, request: AuthenticatedRequest) -> None:
        """A user's row, as `ensure-user` answers it; nothing is made."""
        user = await self.users.find(request.clerk_id())
        log.bind(assistant_id=user.assistant_id)
        await answer_json(request.send, HTTPStatus.OK, _content(user))

    @Operation(answers={200: StatsAnswer}, errors=_FINDING)
    async def get_stats(self, request: AuthenticatedRequest) -> None:
        """Figures of a user."""
        clerk_id = request.clerk_id()
        with self.limits.search(request.owner_id):
            user, stats = await while_connected(request.receive, self._stats(clerk_id, request.deadline))
        content = {
            "joined_at": user.created_at,
            "sessions": stats.sessions,
            "messages": {"user": stats.by_user, "assistant": stats.by_assistant},
            "total_tokens": stats.tokens,
            "first_activity_at": stats.first_at,
            "last_activity_at": stats.last_at,
        }
        await answer_json(request.send, HTTPStatus.OK, content)

    async def _stats(self, clerk_id: str, deadline: Deadline) -> tuple[User, Stats]:
        user = await self.users.find(clerk_id)
        return user, await self.chat.stats(user.id, deadline)

    @Operation(answers={200: Preferences}, errors=_FINDING)
    async def get_preferences(self, request: AuthenticatedRequest) -> None:
        """The chat's own settings."""
        user = await self.users.find(request.clerk_id())
        document = await self.chat.preferences(user.id, request.deadline)
        await answer_json(request.send, HTTPStatus.OK, orjson.Fragment(document))

    @Operation(body=Preferences, answers={200: Preferences}, errors=_FINDING | {422: codes.DOCUMENT})
    async def replace_preferences(self, request: AuthenticatedRequest) -> None:
        """Replace them."""
        await self._set_preferences(request, merge=False)

    @Operation(body=Preferences, answers={200: Preferences}, errors=_FINDING | {422: codes.MERGED_DOCUMENT})
    async def merge_preferences(self, request: AuthenticatedRequest) -> None:
        """Replace the members that are named."""
        await self._set_preferences(request, merge=True)

    async def _set_preferences(self, request: AuthenticatedRequest, *, merge: bool) -> None:
        document = (await read_body(request, Preferences)).text()
        user = await self.users.find(request.clerk_id())
        stored = await self.chat.set_preferences(user.id, document, merge=merge, deadline=request.deadline)
        await answer_json(request.send, HTTPStatus.OK, orjson.Fragment(stored))


async def _read_profile(request: AuthenticatedRequest) -> Profile:
    """The profile that a service token asks for, or of the session token's own user; HttpError 403 for another."""
    if request.owner_id is None:
        return (await read_body(request, EnsureUserRequest)).profile()
    own = await read_body(request, OwnUserRequest)
    if own.clerk_id not in (None, request.owner_id):
        raise HttpError(HTTPStatus.FORBIDDEN, "other_user")
    return Profile(request.owner_id)


def _content(user: User) -> dict[str, object]:
    return {
        "id": user.id,
        "clerk_id": user.clerk_id,
        "assistant_id": user.assistant_id,
        "email": user.email,
        "name": user.name,
        "image_url": user.image_url,
        "created_at": user.created_at,
    }
