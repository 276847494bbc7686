"""POST /ensure-user: the chat backend asks for a user before it talks to them, or the user's own browser does."""

import hmac
import re
from collections.abc import Sequence
from http import HTTPStatus

from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from app import logs
from app.bodies import CLOSE, answer_json, headers_named, read_json_body
from app.clerk_api import ClerkApi
from app.clerk_events import read_json
from app.deadline import Deadline
from app.errors import BadEvent
from app.messages import EnsureUserRequest, SessionRequest
from app.problems import Refusal
from app.provisioning import Provisioning
from app.session_tokens import BadToken, SessionTokens
from app.users import Profile, User

_BEARER = re.compile(rb"bearer +([!-~]+) *", re.IGNORECASE)


class EnsureUser:
    """The endpoint, as an ASGI application: 200 for who was there, 201 for who was made."""

    def __init__(
        self,
        *,
        tokens: Sequence[bytes],
        provisioning: Provisioning,
        clerk: ClerkApi | None = None,
        sessions: SessionTokens | None = None,
    ) -> None:
        self._tokens = tokens
        self._sessions = sessions
        self._provisioning = provisioning
        self._clerk = clerk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        logs.note(event="ensure_user")
        deadline = Deadline()
        signed_in = await self._authorize(scope, deadline)
        profile = _profile(await read_json_body(scope, receive), signed_in)
        logs.note(clerk_id=profile.clerk_id)
        known = await self._provisioning.find(profile.clerk_id)
        if self._clerk is not None and known.user is None and not known.gone:
            # Asked before anything is made: a mistyped id must not get an assistant.
            said = await self._clerk.get_user(profile.clerk_id, deadline)
            if said is None:
                raise Refusal(HTTPStatus.NOT_FOUND, "unknown_user")
            profile = said
        ensured = await self._provisioning.ensure(profile, deadline, known=known)
        logs.note(outcome=ensured.outcome)
        if ensured.user is None:
            raise Refusal(HTTPStatus.GONE, "deleted")
        logs.note(assistant_id=ensured.user.assistant_id)
        created = ensured.outcome == "created"
        await answer_json(send, HTTPStatus.CREATED if created else HTTPStatus.OK, _content(ensured.user))

    async def _authorize(self, scope: Scope, deadline: Deadline) -> str | None:
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
                logs.note(fault=error.reason)
        challenge = (b"www-authenticate", b"Bearer")
        raise Refusal(HTTPStatus.UNAUTHORIZED, "token", headers=[challenge, *CLOSE])


def _profile(body: bytes, signed_in: str | None) -> Profile:
    try:
        document = read_json(body)
        if signed_in is None:
            return EnsureUserRequest.model_validate(document).profile()
        wanted = SessionRequest.model_validate(document).clerk_id
        if wanted not in (None, signed_in):
            raise Refusal(HTTPStatus.FORBIDDEN, "other_user")
        return Profile(signed_in)
    except ValidationError as error:
        raise BadEvent("clerk_id" if error.errors()[0]["loc"] == ("clerk_id",) else "shape") from None


def _content(user: User) -> dict[str, object]:
    return {
        "id": user.id,
        "clerk_id": user.clerk_id,
        "assistant_id": user.assistant_id,
        "email": user.email,
        "name": user.name,
        "created_at": user.created_at,
    }
