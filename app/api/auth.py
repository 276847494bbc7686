"""Who calls: the chat backend by one of the service tokens, or a signed-in user by their own session token."""

import hmac
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from uuid import UUID

from starlette.types import Receive, Scope, Send

from app import log
from app.clerk.session_tokens import BadToken, SessionTokens
from app.clerk.users import CLERK_ID
from app.deadline import Deadline
from app.errors import InvalidRequest, NotFound
from app.http.requests import headers_named
from app.http.responses import CLOSE, HttpError

_BEARER = re.compile(rb"bearer +([!-~]+) *", re.IGNORECASE)


class Authenticator:
    """Lets in whoever has a token that counts."""

    def __init__(self, *, tokens: Sequence[bytes], sessions: SessionTokens | None) -> None:
        self._tokens = tokens
        self._sessions = sessions

    async def identify(self, scope: Scope, deadline: Deadline) -> str | None:
        """The user of a session token, or None for the chat backend, which may ask for anybody.

        Exactly one bearer token, compared with every known one in constant time. Whatever is wrong, the answer is
        the same; only the log says more.
        """
        given = headers_named(scope, b"authorization")
        match = _BEARER.fullmatch(given[0]) if len(given) == 1 else None
        token = match[1] if match else b""
        if sum([hmac.compare_digest(token, known) for known in self._tokens]):
            return None
        if self._sessions is not None:
            try:
                return await self._sessions.verify(token.decode(), deadline)
            except BadToken as error:
                log.bind(fault=error.reason)
        challenge = (b"www-authenticate", b"Bearer")
        raise HttpError(HTTPStatus.UNAUTHORIZED, "token", headers=[challenge, *CLOSE])


@dataclass(frozen=True, slots=True)
class AuthenticatedRequest:
    """A request of somebody known. `owner_id` is the only user whose things they reach; None reaches all."""

    scope: Scope
    receive: Receive
    send: Send
    deadline: Deadline
    owner_id: str | None

    def id(self, name: str) -> UUID:
        """An id in the path; the router has seen to its grammar."""
        value = self.scope["path_params"][name]
        assert isinstance(value, UUID)  # noqa: S101  # The route's convertor makes it one.
        log.bind(**{name: str(value)})
        return value

    def clerk_id(self) -> str:
        """The user in the path: InvalidRequest when it names nobody, NotFound when it is somebody else's."""
        clerk_id = str(self.scope["path_params"]["clerk_id"])
        if not CLERK_ID.fullmatch(clerk_id):
            raise InvalidRequest("clerk_id")
        log.bind(clerk_id=clerk_id)
        if self.owner_id not in (None, clerk_id):
            raise NotFound("other_user")
        return clerk_id


Handler = Callable[[AuthenticatedRequest], Awaitable[None]]


class MethodRouter:
    """One path, as an ASGI application: a handler for each method. Its name is the event in the log."""

    def __init__(self, callers: Authenticator, **handlers: Handler) -> None:
        self._callers = callers
        self._handlers = handlers
        self.methods = list(handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        handler = self._handlers[method]
        log.bind(event=handler.__name__)
        deadline = Deadline()
        owner_id = await self._callers.identify(scope, deadline)
        await handler(AuthenticatedRequest(scope, receive, send, deadline, owner_id))
