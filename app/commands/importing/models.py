"""What another program holds of a person, as it is about to be stored here, and what became of each."""

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

Outcome = Literal[
    "created", "updated", "exists", "deleted", "clerk_id", "assistant", "missing", "taken", "shared", "other", "failed"
]

# What became of a user, for the operator. Those in DONE have a row here.
MEANINGS: dict[Outcome, str] = {
    "created": "have a row now, with their assistant",
    "updated": "had a row already, which lacked something",
    "exists": "had a row already",
    "deleted": "were deleted there or here, and are not brought back",
    "clerk_id": "have no usable Clerk id",
    "assistant": "have no assistant, or its id is no UUID: --create-missing makes one",
    "missing": "have an assistant that Backboard does not know: --create-missing makes another",
    "taken": "have an assistant that belongs to another user here",
    "shared": "share their assistant or their Clerk id with another user there",
    "other": "have another assistant here, which was kept",
    "failed": "could not be taken over this time",
}
DONE: frozenset[Outcome] = frozenset({"created", "updated", "exists"})
# Nothing is left to do about these.
SETTLED: frozenset[Outcome] = DONE | {"deleted"}

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


class ForeignUser(NamedTuple):
    """A user of another program; `key` is the id that its sessions name. `preferences` is JSON text."""

    key: str
    clerk_id: str | None
    assistant_id: str | None
    email: str | None = None
    name: str | None = None
    image_url: str | None = None
    created_at: datetime | None = None
    last_sign_in_at: datetime | None = None
    is_deleted: bool = False
    preferences: str | None = None
    # Whether there are preferences that are no object, or larger than we store.
    drops_preferences: bool = False


class ForeignSession(NamedTuple):
    """A session; `user_key` is the user's id there, or the Clerk id. `last_active_at` is never NULL."""

    key: str
    user_key: str | None
    thread_id: str | None
    title: str | None
    status: str | None
    created_at: datetime
    last_active_at: datetime
    ended_at: datetime | None


class ForeignMessage(NamedTuple):
    """A message; `metadata` is JSON text."""

    key: str
    session_key: str | None
    role: str | None
    content: str | None
    metadata: str | None
    # Whether there is metadata that is no object, or larger than we store.
    drops_metadata: bool
    created_at: datetime | None
    # Whether its session exists there; without foreign keys it may not.
    has_session: bool = True


def new_id(kind: str, key: str) -> UUID:
    """The id here: theirs where it is a UUID, else one computed from it, so that the next run finds the same."""
    return UUID(key) if _UUID.fullmatch(key) else uuid5(NAMESPACE_URL, f"{kind}/{key}")


def usable_uuid(text: str | None) -> str | None:
    """An id of Backboard's as it is stored here; None for anything else."""
    return str(UUID(text)) if text is not None and _UUID.fullmatch(text) else None


@dataclass(slots=True)
class Counts:
    """Of sessions or messages: how many there are there, how many of these are here now, and how many are new."""

    there: int = 0
    here: int = 0
    new: int = 0


@dataclass(slots=True)
class Summary:
    """What became of everything; `left_out` counts what was not taken over by rule, with the reason in words."""

    users: Counter[Outcome] = field(default_factory=Counter)
    named: dict[Outcome, list[str]] = field(default_factory=dict)
    renamed: int = 0
    sessions: Counts = field(default_factory=Counts)
    messages: Counts = field(default_factory=Counts)
    left_out: Counter[str] = field(default_factory=Counter)
    # What should be here and is not: the ids there, by the reason in words.
    not_here: dict[str, list[str]] = field(default_factory=dict)
    abort_reason: str | None = None

    def add(self, outcome: Outcome, name: str) -> None:
        self.users[outcome] += 1
        if outcome not in DONE:
            self.named.setdefault(outcome, []).append(name)

    def miss(self, words: str, key: str) -> None:
        self.not_here.setdefault(words, []).append(key)

    @property
    def is_complete(self) -> bool:
        """Whether every user there is settled, and nothing is missing but what was left out by rule."""
        missing = sum(one.there - one.here for one in (self.sessions, self.messages))
        left = sum(number for words, number in self.left_out.items() if words.startswith(("sessions", "messages")))
        settled = not any(self.users[outcome] for outcome in MEANINGS if outcome not in SETTLED)
        return settled and missing == left and not self.not_here and self.abort_reason is None
