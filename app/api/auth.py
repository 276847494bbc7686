"""Authentication: the chat backend presents a service token, a signed-in user a Clerk session token."""

import hmac
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from uuid import UUID

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app import log
from app.api.limits import UserLimit, UserLimits
from app.chat.models import SLUG, SLUG_LENGTH
from app.clerk.session_tokens import BadToken, SessionTokens
from app.clerk.users import CLERK_ID
from app.deadline import Deadline
from app.errors import Fault, InvalidRequest, NotFound
from app.http.requests import headers_named
from app.http.responses import ADMITTED, CLOSE, HttpError

_is_slug = re.compile(SLUG, re.ASCII).fullmatch
_BEARER = re.compile(rb"bearer +([!-~]+) *", re.IGNORECASE)


@dataclass(slots=True)
class AuthenticatedRequest:
    """`owner_id` is the only user that the caller may reach; None, for a service token, means every user."""

    scope: Scope
    receive: Receive
    send: Send
    deadline: Deadline
    owner_id: str | None

    def path_id(self, name: str) -> UUID:
        """An id in the path, which the route's convertor has parsed."""
        value = self.scope["path_params"][name]
        assert isinstance(value, UUID)  # noqa: S101  # The route says {...:uuid}.
        log.bind(**{name: str(value)})
        return value

    def clerk_id(self) -> str:
        """The user in the path; InvalidRequest for a malformed id, NotFound for a user the caller may not reach."""
        clerk_id = str(self.scope["path_params"]["clerk_id"])
        if not CLERK_ID.fullmatch(clerk_id):
            raise InvalidRequest("clerk_id", Fault(parameter="clerk_id"))
        log.bind(clerk_id=clerk_id)
        if self.owner_id not in (None, clerk_id):
            raise NotFound("other_user")
        return clerk_id

    def slug(self) -> str:
        """The scenario in the path; InvalidRequest for a malformed slug."""
        slug = str(self.scope["path_params"]["slug"])
        if len(slug) > SLUG_LENGTH or not _is_slug(slug):
            raise InvalidRequest("slug", Fault(parameter="slug"))
        log.bind(scenario=slug)
        return slug

    def require_service_token(self) -> None:
        """HttpError 403 for a session token; before a body is read, which is why the connection ends."""
        if self.owner_id is not None:
            raise HttpError(HTTPStatus.FORBIDDEN, "service_token", headers=CLOSE)


Handler = Callable[[AuthenticatedRequest], Awaitable[None]]
Endpoint = Callable[[Scope, Receive, Send], Awaitable[None]]


class MethodRouter:
    """One path, as an ASGI application: an endpoint for each method. Its name is the event in the log.

    Starlette's own router would name only the first route's methods in the Allow header of a 405.
    """

    def __init__(self, **endpoints: Endpoint) -> None:
        self.endpoints = endpoints

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        method = scope["method"]
        endpoint = self.endpoints["GET" if method == "HEAD" else method]
        log.bind(event=endpoint.__name__)
        return endpoint(scope, receive, send)


class Authenticator:
    """Identifies the caller of a request by its bearer token."""

    def __init__(
        self, *, service_tokens: Sequence[bytes], session_tokens: SessionTokens | None, limits: UserLimits
    ) -> None:
        self._service_tokens = service_tokens
        self._session_tokens = session_tokens
        self._limits = limits

    def route(self, path: str, **handlers: Handler) -> Route:
        """A route with a handler for each method, called with authenticated requests within the user's limits only."""
        reads, writes = self._limits.reads, self._limits.writes
        endpoints = {
            method: self._authenticated(handler, reads if method == "GET" else writes)
            for method, handler in handlers.items()
        }
        return Route(path, MethodRouter(**endpoints), methods=list(handlers))

    def _authenticated(self, handler: Handler, limit: UserLimit) -> Endpoint:
        @wraps(handler)
        async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
            deadline = Deadline()
            owner_id = await self.authenticate(scope, deadline)
            scope[ADMITTED] = True
            limit.take(owner_id)
            await handler(AuthenticatedRequest(scope, receive, send, deadline, owner_id))

        return endpoint

    async def authenticate(self, scope: Scope, deadline: Deadline) -> str | None:
        """The user of a session token, or None for a service token, which may act for every user.

        Takes exactly one bearer token and compares it with every service token in constant time. The answer is the
        same for every wrong token; only the log says more.
        """
        values = headers_named(scope, b"authorization")
        match = _BEARER.fullmatch(values[0]) if len(values) == 1 else None
        token = match[1] if match else b""
        if sum([hmac.compare_digest(token, known) for known in self._service_tokens]):
            return None
        if self._session_tokens is not None:
            try:
                return await self._session_tokens.verify(token.decode(), deadline)
            except BadToken as error:
                log.bind(fault=error.reason)
        challenge = (b"www-authenticate", b"Bearer")
        raise HttpError(HTTPStatus.UNAUTHORIZED, "token", headers=[challenge, *CLOSE])
