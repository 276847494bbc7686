"""People who sign up, change and leave, as Clerk tells it; every personal value and every secret holds a canary."""

import base64
import json
import random
from dataclasses import dataclass, field
from typing import Any

from tools.chaos.history import DELETED

PREFIX = "clerk:"
API_KEY = "espr_canary_chaos_key"
TOKEN = "canary-chaos-service-token"
DATABASE_PASSWORD = "canary-chaos-password"
SECRETS = (b"canary-chaos-signing-secret-1", b"canary-chaos-signing-secret-2")
FIRST_VERSION = 1_700_000_000_000


def signing_secrets() -> str:
    """As in CLERK_WEBHOOK_SIGNING_SECRET during a rotation."""
    return ",".join("whsec_" + base64.b64encode(secret).decode() for secret in SECRETS)


@dataclass(frozen=True, slots=True)
class Message:
    """One event; its id stays the same at every try."""

    svix_id: str
    kind: str
    clerk_id: str
    body: bytes
    version: int = 0


@dataclass(frozen=True, slots=True)
class Life:
    """One user: what is told of them, in the order of telling, and whether the chat backend asks for them."""

    clerk_id: str
    messages: tuple[Message, ...]
    asked_for: bool = False
    overlapping: bool = False

    @property
    def deleted(self) -> bool:
        return any(message.kind == DELETED for message in self.messages)

    @property
    def newest(self) -> int:
        """The newest version of the profile that is ever told; 0 when only the chat backend speaks."""
        return max((message.version for message in self.messages), default=0)


@dataclass
class Population:
    """Everybody who was ever spoken of; who is not in here must not be in the tables."""

    seed: int
    lives: dict[str, Life] = field(default_factory=dict)

    def dice_of(self, actor: str) -> random.Random:
        """A dice for each actor, so that the order in which they act changes nobody's decisions."""
        return random.Random(f"{self.seed}/{actor}")

    def clerk_id(self) -> str:
        """Of somebody new."""
        return f"user_chaos{len(self.lives):06d}"

    def add(self, life: Life) -> Life:
        self.lives[life.clerk_id] = life
        return life

    def somebody(self, dice: random.Random) -> Life:
        """A new life: one to four versions, perhaps a deletion, told in any order; or only the chat backend's word."""
        clerk_id = self.clerk_id()
        if dice.random() < 0.1:
            return self.add(Life(clerk_id, (), asked_for=True))
        changes = range(1, dice.randrange(1, 5))
        told = [created(clerk_id)]
        told += [updated(clerk_id, step, through_session=dice.random() < 0.3) for step in changes]
        if dice.random() < 0.35:
            told.append(deleted(clerk_id))
        if dice.random() < 0.6:
            dice.shuffle(told)
        return self.add(Life(clerk_id, tuple(told), dice.random() < 0.4, dice.random() < 0.5))


def created(clerk_id: str) -> Message:
    return _event("user.created", clerk_id, _user(clerk_id, FIRST_VERSION), FIRST_VERSION)


def updated(clerk_id: str, step: int, *, through_session: bool = False) -> Message:
    """The `step`-th change; Clerk also tells it with a session that begins."""
    version = FIRST_VERSION + step
    user = _user(clerk_id, version)
    if through_session:
        return _event("session.created", clerk_id, {"object": "session", "id": "sess_1", "user": user}, version)
    return _event("user.updated", clerk_id, user, version)


def deleted(clerk_id: str) -> Message:
    return _event(DELETED, clerk_id, {"object": "user", "id": clerk_id, "deleted": True}, 0)


def email(clerk_id: str) -> str:
    return f"canary.{clerk_id}@example.com"


def name(clerk_id: str, version: int) -> str:
    return f"Canary{version} {clerk_id}"


def _user(clerk_id: str, version: int) -> dict[str, Any]:
    return {
        "object": "user",
        "id": clerk_id,
        "first_name": f"Canary{version}",
        "last_name": clerk_id,
        "primary_email_address_id": "idn_1",
        "email_addresses": [{"id": "idn_1", "email_address": email(clerk_id)}],
        "created_at": FIRST_VERSION,
        "updated_at": version,
    }


def _event(kind: str, clerk_id: str, data: dict[str, Any], version: int) -> Message:
    body = json.dumps({"object": "event", "type": kind, "data": data}).encode()
    return Message(f"msg_{clerk_id}_{kind.replace('.', '_')}_{version % 1000}", kind, clerk_id, body, version)
