"""The users of a campaign and their events, as Clerk delivers them; every personal value and secret holds a canary."""

import base64
import json
import random
import re
from dataclasses import dataclass, field, replace
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
class Event:
    """One event; its id stays the same at every attempt to deliver it. Or one call of the chat backend.

    The id of such a call is its Idempotency-Key; `texts` are the messages of an append.
    """

    svix_id: str
    kind: str
    clerk_id: str
    body: bytes
    version: int = 0
    session_id: str = ""
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class User:
    """A user's events in the order of delivery, and whether the chat backend calls ensure-user for them."""

    clerk_id: str
    events: tuple[Event, ...]
    ensured: bool = False
    overlapping: bool = False

    @property
    def is_deleted(self) -> bool:
        return any(event.kind == DELETED for event in self.events)

    @property
    def newest(self) -> int:
        """The newest version of the profile in any event; 0 when there is none."""
        return max((event.version for event in self.events), default=0)


@dataclass
class Workload:
    """All users so far; a user that is not in here must not be in the tables either."""

    seed: int
    users: dict[str, User] = field(default_factory=dict)

    def random_for(self, actor: str) -> random.Random:
        """A generator for each actor, so that the order in which they act changes none of their decisions."""
        return random.Random(f"{self.seed}/{actor}")

    def new_clerk_id(self) -> str:
        return f"user_chaos{len(self.users):06d}"

    def add(self, user: User) -> User:
        self.users[user.clerk_id] = user
        return user

    def new_user(self, rng: random.Random) -> User:
        """One to four versions, perhaps a deletion, delivered in any order; or only a call of the chat backend."""
        clerk_id = self.new_clerk_id()
        if rng.random() < 0.1:
            return self.add(User(clerk_id, (), ensured=True))
        changes = range(1, rng.randrange(1, 5))
        events = [created(clerk_id)]
        events += [updated(clerk_id, step, in_session=rng.random() < 0.3) for step in changes]
        if rng.random() < 0.35:
            events.append(deleted(clerk_id))
        if rng.random() < 0.6:
            rng.shuffle(events)
        return self.add(User(clerk_id, tuple(events), rng.random() < 0.4, rng.random() < 0.5))

    def change(self, clerk_id: str, count: int) -> list[Event]:
        """So many further versions of a user's profile, the oldest first."""
        user = self.users[clerk_id]
        step = max(user.newest - FIRST_VERSION, 0)
        events = [updated(clerk_id, step + number) for number in range(1, count + 1)]
        self.add(replace(user, events=(*user.events, *events)))
        return events


def created(clerk_id: str) -> Event:
    return _event("user.created", clerk_id, _user(clerk_id, FIRST_VERSION), FIRST_VERSION)


def updated(clerk_id: str, step: int, *, in_session: bool = False) -> Event:
    """The `step`-th change; a `session.created` carries the profile as well."""
    version = FIRST_VERSION + step
    user = _user(clerk_id, version)
    if in_session:
        return _event("session.created", clerk_id, {"object": "session", "id": "sess_1", "user": user}, version)
    return _event("user.updated", clerk_id, user, version)


def deleted(clerk_id: str) -> Event:
    return _event(DELETED, clerk_id, {"object": "user", "id": clerk_id, "deleted": True}, 0)


def email(clerk_id: str) -> str:
    return f"canary.{clerk_id}@example.com"


def name(clerk_id: str, version: int) -> str:
    return f"Canary{version} {clerk_id}"


def version_of(user_name: str | None) -> int:
    """The version of the profile that a name comes from."""
    match = re.match(r"Canary(\d+) ", user_name or "")
    return int(match[1]) if match else 0


def text(clerk_id: str, *words: object) -> str:
    """A message of a user's session; the words make it the only one."""
    return " ".join(map(str, ("Canary", clerk_id, *words)))


def is_text_of(clerk_id: str, content: str) -> bool:
    return content.startswith(f"Canary {clerk_id} ")


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


def _event(kind: str, clerk_id: str, data: dict[str, Any], version: int) -> Event:
    body = json.dumps({"object": "event", "type": kind, "data": data}).encode()
    return Event(f"msg_{clerk_id}_{kind.replace('.', '_')}_{version % 1000}", kind, clerk_id, body, version)
