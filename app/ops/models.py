"""What operators read: rows of the history as values with names, and the pages that are put together from them.

Times are aware, in UTC. Members that a page shows may be added; those that are here keep their names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

FAILURE = 500

DoubtKind = Literal["sign_up", "deletion", "second_assistant", "session", "thread"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One row of deliveries, in the order of its columns in every query; the times it took are in milliseconds."""

    svix_id: str
    type: str | None
    clerk_id: str | None
    first_at: datetime
    last_at: datetime
    tries: int
    status: int
    outcome: str | None
    reason: str | None
    assistant_id: str | None
    secret: int | None
    duration_ms: float
    backboard_ms: float | None
    db_ms: float | None
    request_id: str
    resolved_at: datetime | None

    @property
    def is_failing(self) -> bool:
        """Whether its last try failed and nothing has healed it since."""
        return self.status >= FAILURE and self.resolved_at is None


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Only deliveries that have all of this; None for any."""

    clerk_id: str | None = None
    type: str | None = None
    outcome: str | None = None
    reason: str | None = None
    status: int | None = None
    failing: bool = False
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeliveryCursor:
    """The last row of a page; the next page begins behind it."""

    last_at: datetime
    svix_id: str


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """`following` leads to the next page; None on the last one."""

    deliveries: Sequence[Delivery]
    following: DeliveryCursor | None


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Deliveries that failed for one reason and did not heal; `meaning` and `remedy` are those of app.reasons."""

    reason: str
    deliveries: int
    people: int
    since: datetime
    last_at: datetime
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Deliveries that were refused for one reason: 422 for verified events, 400 for those of an unknown sender."""

    status: int
    reason: str | None
    number: int
    since: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class EventAge:
    """When the last delivery of a type came, to any process."""

    type: str
    last_at: datetime
    age_seconds: float


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """How many webhooks and ensure-users of five minutes, from `slot` on, had an outcome."""

    slot: datetime
    event: str
    outcome: str
    reason: str
    status: int
    number: int


@dataclass(frozen=True, slots=True)
class DoubtAge:
    """How many rows a table of open doubts has, and how old the oldest is; None without any."""

    table: str
    number: int
    oldest_seconds: float | None


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that may have been left unfinished; `meaning` says what, `remedy` whether it heals by itself."""

    kind: DoubtKind
    clerk_id: str
    session_id: UUID | None
    since: datetime
    last_at: datetime
    tries: int
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the service. `pools`: connections and callers by pool; `is_silent`: not seen for a while."""

    id: str
    host: str
    release: str
    version: str
    started_at: datetime
    seen_at: datetime
    last_event_at: datetime | None
    pools: Mapping[str, Mapping[str, int]]
    breaker: str
    lost: int
    lost_at: datetime | None
    is_silent: bool


@dataclass(frozen=True, slots=True)
class Action:
    """What an operator has done; `clerk_id` is None where it was about no user, or the user was erased.

    `ended_at` is None while it is under way, and stays so where its process was killed.
    """

    id: int
    at: datetime
    ended_at: datetime | None
    who: str
    action: str
    clerk_id: str | None
    result: str


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What became of an action, in a sentence; after `is_erased` nothing may remember the user."""

    text: str
    is_erased: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """What a search has found: its kind, its own id, and the user it belongs to, None for no user."""

    kind: Literal["user", "assistant", "thread", "session", "message", "delivery"]
    id: str
    clerk_id: str | None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong: what, since when, who is hurt, and what to do; `until` of a cause that is over."""

    what: str
    hurts: str
    todo: str
    since: datetime | None = None
    reason: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Overview:
    """Whether all is well, and the figures behind it. `sign_ups` are those of 24 hours, as the chart.

    `news` are sentences about what is over, or hurts no user.
    """

    sentence: str
    is_well: bool
    findings: Sequence[Finding]
    news: Sequence[str]
    failing: int
    people_failing: int
    failures: Sequence[FailureGroup]
    last_events: Sequence[EventAge]
    doubts: Sequence[DoubtAge]
    processes: Sequence[Process]
    sign_ups: int
    chart: Sequence[OutcomeCount]
