"""POST /webhooks/clerk: a signed event in, its outcome out.

The path of a delivery:

1. app.http.middleware starts the request's log line and clock, and refuses an oversized head.
2. `webhook` reads the raw body under a size cap, a smaller one if the three headers do not read well: 415, 413.
3. SignatureVerifier checks the three headers and the signature over those bytes: 400, one answer for all faults.
4. app.clerk.events parses the event. A signed body that is no usable event is Clerk's or our fault: 422.
5. `_handle` acts on it. UserDeletion takes a deletion; Provisioning takes a user, as it does for POST /ensure-user.
   An event of another Clerk instance and one that nothing depends on are ignored.
6. The answer is 200 with the outcome, which is committed by then. Errors become problem documents in the middleware:
   503 for all that may heal, because Svix delivers again for 28 hours. It also writes the request's one log line.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from time import time

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app import log
from app.api import codes, events, schemas
from app.api.auth import MethodRouter
from app.api.health import LastEvent
from app.api.openapi import STRING, Operation, parameter
from app.clerk.events import Event, IgnoredEvent, UserDeletedEvent, UserUpsertedEvent, parse
from app.clerk.signatures import SignatureVerifier
from app.deadline import Deadline
from app.http.requests import BODY_BYTES, read_json
from app.http.responses import ADMITTED, answer_json
from app.users.deletion import UserDeletion
from app.users.provisioning import Provisioning

# Of a body with headers that do not read well, so that it will be refused.
STRANGER_BYTES = 64 * 1024
# All senders share the memory for large bodies until one of them is known.
STRANGERS = "strangers"

_HEADERS = [
    parameter("header", "svix-id", STRING, required=True, description="The message's id."),
    parameter("header", "svix-timestamp", STRING, required=True, description="Seconds since 1970."),
    parameter("header", "svix-signature", STRING, required=True, description="v1,<base64> ..."),
]


@dataclass(frozen=True, kw_only=True)
class Webhooks:
    """The handler; its name is its event in the log."""

    verifier: SignatureVerifier
    last_event: LastEvent
    provisioning: Provisioning
    deletion: UserDeletion
    instance_id: str | None

    def routes(self) -> list[Route]:
        return [Route("/webhooks/clerk", MethodRouter(POST=self.webhook), methods=["POST"])]

    @Operation(
        id="clerkWebhook",
        is_public=True,
        body=events.Event,
        answers={200: schemas.Outcome},
        parameters=_HEADERS,
        errors={422: ["json", "type", "data", "clerk_id"], 503: [*codes.DATABASE, *codes.BACKBOARD]},
    )
    async def webhook(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an event of Clerk's.

        The three headers may also be named webhook-*, as in Standard Webhooks.
        """
        deadline = Deadline()
        is_plausible = self.verifier.is_plausible(scope["headers"])
        body = await read_json(scope, receive, BODY_BYTES if is_plausible else STRANGER_BYTES, owner=STRANGERS)
        delivery = self.verifier.verify(scope["headers"], body, time())
        scope[ADMITTED] = True
        self.last_event.record()
        log.bind(svix_id=delivery.svix_id, secret=delivery.secret)
        event = parse(body, datetime.now(UTC))
        log.bind(type=event.type)
        outcome = await self._handle(event, deadline)
        log.bind(outcome=outcome)
        await answer_json(send, HTTPStatus.OK, {"outcome": outcome})

    async def _handle(self, event: Event, deadline: Deadline) -> str:
        if self._is_foreign(event):
            return "ignored"
        match event:
            case UserUpsertedEvent(profile=profile):
                log.bind(clerk_id=profile.clerk_id)
                ensured = await self.provisioning.ensure(profile, deadline)
                if ensured.user is not None:
                    log.bind(assistant_id=ensured.user.assistant_id)
                return ensured.outcome
            case UserDeletedEvent(clerk_id=clerk_id):
                log.bind(clerk_id=clerk_id)
                return await self.deletion.delete(clerk_id, deadline)
            case IgnoredEvent():
                return "ignored"

    def _is_foreign(self, event: Event) -> bool:
        """Whether another Clerk instance sent the event. The dashboard's samples name no instance and count as ours."""
        return self.instance_id is not None and event.instance_id not in (None, self.instance_id)
