"""What the history writes at a time: tries of deliveries and counts of requests, as statements. No I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from app.log_format import Fields, clean
from app.postgres.pipeline import Statement
from app.postgres.queries import Queries

SLOT_SECONDS = 300
EPOCH = datetime.fromtimestamp(0, UTC)


class Outcome(NamedTuple):
    """What requests are counted by; the empty text for none."""

    event: str
    outcome: str
    reason: str
    status: int


class Count(NamedTuple):
    """How many requests, and how many seconds they took together."""

    number: int
    seconds: float


class Try(NamedTuple):
    """A request that belongs into the history: its row's id, when it ended, and the fields of its closing line."""

    id: str
    ended_at: float
    fields: Fields


class SlotOutcome(NamedTuple):
    """An outcome of the five minutes from `slot` on, in seconds since 1970."""

    slot: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Batch:
    """One write of a process, by its number."""

    number: int
    tries: Sequence[Try]
    counts: Mapping[SlotOutcome, Count]

    @property
    def size(self) -> int:
        """How many entries of the history are lost with it."""
        return len(self.tries) + sum(count.number for count in self.counts.values())

    def statements(self, queries: Queries) -> list[Statement]:
        found: list[Statement] = []
        if self.tries:
            found.append((queries.record_deliveries, _columns_of_tries(self.tries)))
        if self.counts:
            found.append((queries.record_outcomes, _columns_of_counts(self.counts)))
        return found


def slot_of(seconds: float) -> int:
    """The beginning of the five minutes, in seconds since 1970."""
    return int(seconds // SLOT_SECONDS) * SLOT_SECONDS


# By column, the field of the closing line; a text is cut and made harmless as in the log.
_FIELDS = {
    "clerk_ids": "clerk_id",
    "statuses": "status",
    "outcomes": "outcome",
    "reasons": "reason",
    "assistant_ids": "assistant_id",
    "secrets": "secret",
    "durations": "duration_ms",
    "backboard_times": "backboard_ms",
    "db_times": "db_ms",
    "request_ids": "request_id",
}


def _columns_of_tries(tries: Sequence[Try]) -> dict[str, Any]:
    lines = [attempt.fields for attempt in tries]
    columns = {column: [clean(line.get(field)) for line in lines] for column, field in _FIELDS.items()}
    return columns | {
        "svix_ids": [attempt.id for attempt in tries],
        "types": [clean(line.get("type")) if "svix_id" in line else "ensure_user" for line in lines],
        "times": [datetime.fromtimestamp(attempt.ended_at, UTC) for attempt in tries],
    }


def _columns_of_counts(counts: Mapping[SlotOutcome, Count]) -> dict[str, Any]:
    """With the totals, which stand in the slot of 1970."""
    totals: dict[SlotOutcome, Count] = {}
    add_counts(totals, ((SlotOutcome(0, key.outcome), count) for key, count in counts.items()))
    rows = [*counts.items(), *totals.items()]
    outcomes = [key.outcome for key, _ in rows]
    return {
        "slots": [datetime.fromtimestamp(key.slot, UTC) for key, _ in rows],
        "events": [one.event for one in outcomes],
        "outcomes": [one.outcome for one in outcomes],
        "reasons": [one.reason for one in outcomes],
        "statuses": [one.status for one in outcomes],
        "numbers": [count.number for _, count in rows],
        "seconds": [count.seconds for _, count in rows],
    }


def add_counts(sums: dict[SlotOutcome, Count], counts: Iterable[tuple[SlotOutcome, Count]]) -> None:
    """Add to what is counted under the same keys."""
    for key, count in counts:
        before = sums.get(key, Count(0, 0.0))
        sums[key] = Count(before.number + count.number, before.seconds + count.seconds)
