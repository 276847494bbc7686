"""Decides at the end whether the promises were kept, from Backboard's ledger and the tables alone.

lost            taken with a 2xx, and its effect is not there, or a newer one was overwritten
duplicate       two living assistants of one user, or two rows
dangling        a live row that names an assistant which is deleted
orphan          a living assistant that no live row names
phantom         a row or an assistant of somebody whom nobody asked for
resurrected     a live row beside a tombstone, or an answer for somebody who was gone
stuck           an event, a note or a process that never came to its end
slow            an answer after more than 12.5 s, or none within 15 s
silent          a 503 without a Retry-After that a sender can use
reset           no answer, although nobody killed the process that had the request
starved         an existing user who was not served because Backboard hangs
unexpected      an answer that is none of those that the contract knows, a bug in a log, a process that ended by itself
leak            a secret or something personal in a log or an answer
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tools.chaos import lives
from tools.chaos.history import DELETED, ENSURE, Operation
from tools.chaos.lives import PREFIX, Life

SLOW_SECONDS = 12.5


class Violation(NamedTuple):
    """A promise that was not kept; `what` names ids only."""

    kind: str
    what: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row of users, as far as it matters here; `version` in Clerk's milliseconds."""

    clerk_id: str
    assistant_id: str
    email: str | None
    name: str | None
    version: int
    deleted: bool


@dataclass
class Evidence:
    """Everything that is judged."""

    lives: dict[str, Life]
    operations: list[Operation]
    rows: list[Row]
    tombstones: set[str]
    notes: set[str]
    # The ids of the assistants that live, by the name under which they were made.
    alive: dict[str, set[str]]
    # What was seen on the way and needs no books.
    seen: list[Violation] = field(default_factory=list)


def judge(evidence: Evidence) -> list[Violation]:
    """Every violation; none, if all is well."""
    found = list(evidence.seen)
    for operation in evidence.operations:
        found += _of_answer(operation)
    found += _of_tables(evidence)
    found += _of_assistants(evidence)
    found += _of_promises(evidence)
    found += [Violation("stuck", f"a note of {clerk_id} is left") for clerk_id in sorted(evidence.notes)]
    return found


def _of_answer(one: Operation) -> Iterator[Violation]:
    what = f"{one.kind} of {one.clerk_id}: {one.status} after {one.seconds:.1f} s"
    if one.seconds > SLOW_SECONDS:
        yield Violation("slow", what)
    if one.status == 503 and not (one.retry_after or "").isdigit():
        yield Violation("silent", what)
    if one.status not in ((0, 200, 201, 410, 503) if one.kind == ENSURE else (0, 200, 503)):
        yield Violation("unexpected", what)
    if one.reset:
        yield Violation("reset", what)
    if one.leaked:
        yield Violation("leak", f"the answer to {what}")


def _of_tables(evidence: Evidence) -> Iterator[Violation]:
    count = Counter(row.clerk_id for row in evidence.rows)
    for row in evidence.rows:
        if count[row.clerk_id] > 1:
            yield Violation("duplicate", f"{count[row.clerk_id]} rows of {row.clerk_id}")
        life = evidence.lives.get(row.clerk_id)
        if life is None or not (life.newest or life.asked_for):
            yield Violation("phantom", f"a row of {row.clerk_id}")
        if not row.deleted and row.clerk_id in evidence.tombstones:
            yield Violation("resurrected", f"a live row of {row.clerk_id} beside the tombstone")
        if row.deleted and row.clerk_id not in evidence.tombstones:
            yield Violation("lost", f"the tombstone of {row.clerk_id}")
        if not row.deleted and row.assistant_id not in evidence.alive.get(PREFIX + row.clerk_id, ()):
            yield Violation("dangling", f"{row.clerk_id} -> {row.assistant_id}")


def _of_assistants(evidence: Evidence) -> Iterator[Violation]:
    held = {row.clerk_id: row.assistant_id for row in evidence.rows if not row.deleted}
    for name, ids in evidence.alive.items():
        clerk_id = name.removeprefix(PREFIX)
        if clerk_id not in evidence.lives:
            yield Violation("phantom", f"an assistant named {name}")
        elif clerk_id in held and len(ids) > 1:
            yield Violation("duplicate", f"{len(ids)} assistants of {clerk_id}")
        elif clerk_id not in held and ids:
            yield Violation("orphan", f"{len(ids)} assistants of {clerk_id}, who has no live row")


def _of_promises(evidence: Evidence) -> Iterator[Violation]:
    rows = {row.clerk_id: row for row in evidence.rows}
    operations: dict[str, list[Operation]] = defaultdict(list)
    for one in evidence.operations:
        if one.result == "ok":
            operations[one.clerk_id].append(one)
    for clerk_id, life in evidence.lives.items():
        row = rows.get(clerk_id)
        taken = operations[clerk_id]
        yield from _of_newest(clerk_id, life, row, taken, gone=clerk_id in evidence.tombstones)
        yield from _of_deletion(clerk_id, row, taken, gone=clerk_id in evidence.tombstones)
        for one in taken:
            if one.assistant_id and (row is None or row.assistant_id != one.assistant_id):
                yield Violation("lost", f"the assistant that ensure-user answered for {clerk_id}")


def _of_newest(
    clerk_id: str, life: Life, row: Row | None, taken: Iterable[Operation], *, gone: bool
) -> Iterator[Violation]:
    """The newest profile that was taken is the one that stands, unless the user is told to be gone."""
    newest = max((one.version for one in taken), default=0)
    if not newest or (life.deleted and gone):
        return
    if row is None or row.version < newest:
        yield Violation("lost", f"version {newest} of {clerk_id}, there is {row.version if row else 'no row'}")
    elif row.name != lives.name(clerk_id, row.version) or row.email != lives.email(clerk_id):
        yield Violation("lost", f"the profile of {clerk_id} is not that of its version")


def _of_deletion(clerk_id: str, row: Row | None, taken: list[Operation], *, gone: bool) -> Iterator[Violation]:
    ends = [one.began + one.seconds for one in taken if one.kind == DELETED]
    if not ends:
        return
    if not gone:
        yield Violation("lost", f"the deletion of {clerk_id}")
    if row is not None and not row.deleted:
        yield Violation("resurrected", f"{clerk_id} after the deletion was taken")
    if row is not None and row.deleted and (row.email or row.name):
        yield Violation("leak", f"the personal data of {clerk_id}, who is gone")
    for one in taken:
        if one.kind == ENSURE and one.status != 410 and one.began > min(ends):
            yield Violation("resurrected", f"{clerk_id} was answered for after the deletion was taken")
