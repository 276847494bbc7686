"""POST /ensure-user: the chat backend asks for a user before it talks to them, or the user's own browser does."""

from http import HTTPStatus

from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from app import logs
from app.bodies import answer_json, read_json_body
from app.callers import Callers
from app.clerk_events import read_json
from app.deadline import Deadline
from app.errors import BadEvent
from app.messages import EnsureUserRequest, SessionRequest
from app.on_demand import OnDemand
from app.problems import Refusal
from app.users import Profile, User


class EnsureUser:
    """The endpoint, as an ASGI application: 200 for who was there, 201 for who was made."""

    def __init__(self, *, callers: Callers, users: OnDemand) -> None:
        self._callers = callers
        self._users = users

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        logs.note(event="ensure_user")
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
