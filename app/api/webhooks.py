"""POST /webhooks/clerk: bytes in, outcome out."""

from datetime import UTC, datetime
from time import time

from starlette.types import Receive, Scope, Send

from app import log
from app.api.health import LastEvent
from app.clerk.events import Event, IgnoredEvent, UserDeletedEvent, UserUpsertedEvent, parse
from app.clerk.signatures import SignatureVerifier
from app.deadline import Deadline
from app.http.requests import read_json_body
from app.http.responses import answer_json
from app.users.deletion import UserDeletion
from app.users.provisioning import Provisioning


class ClerkWebhook:
    """The endpoint, as an ASGI application.

    A 2xx means that the event's effect is committed, or that it has none here. Everything that may heal is a
    503, because Clerk's sender is a queue that comes again for 28 hours.
    """

    def __init__(
        self,
        *,
        verifier: SignatureVerifier,
        last_event: LastEvent,
        provisioning: Provisioning,
        deletion: UserDeletion,
        instance_id: str | None = None,
    ) -> None:
        self._last_event = last_event
        self._verifier = verifier
        self._provisioning = provisioning
        self._deletion = deletion
        self._instance_id = instance_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        log.bind(event="webhook")
        deadline = Deadline()
        body = await read_json_body(scope, receive)
        delivery = self._verifier.verify(scope["headers"], body, time())
        self._last_event.note()
        log.bind(svix_id=delivery.svix_id, secret=delivery.secret)
        event = parse(body, datetime.now(UTC))
        log.bind(type=event.type)
        outcome = await self._handle(event, deadline)
        log.bind(outcome=outcome)
        await answer_json(send, 200, {"outcome": outcome})

    async def _handle(self, event: Event, deadline: Deadline) -> str:
        if self._is_foreign(event):
            return "ignored"
        match event:
            case UserUpsertedEvent(profile=profile):
                log.bind(clerk_id=profile.clerk_id)
                ensured = await self._provisioning.ensure(profile, deadline)
                if ensured.user is not None:
                    log.bind(assistant_id=ensured.user.assistant_id)
                return ensured.outcome
            case UserDeletedEvent(clerk_id=clerk_id):
                log.bind(clerk_id=clerk_id)
                return await self._deletion.delete(clerk_id, deadline)
            case IgnoredEvent():
                return "ignored"

    def _is_foreign(self, event: Event) -> bool:
        """Whether another Clerk instance sent this. Samples of the dashboard name none and are ours."""
        return self._instance_id is not None and event.instance_id not in (None, self._instance_id)
