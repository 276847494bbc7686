"""Decides at the end whether the promises were kept, from Backboard's ledger and the tables alone.

lost            accepted with a 2xx, but its effect is not there, or has overwritten a newer one
duplicate       two living assistants of one user, two rows, two sessions under one key, or a message twice
dangling        a live row with the id of a deleted assistant
orphan          a living assistant that no live row names
phantom         a row or an assistant of a user outside the workload, or a message that was never sent
resurrected     a live row beside a tombstone, or ensure-user served a deleted user
stuck           an event, an attempt or a process that never ended
slow            a response after more than 12.5 s, or none within 15 s
silent          a 503 without a usable Retry-After
reset           no response, although the process that had the request was not killed
starved         an existing user was not served because Backboard hangs
unexpected      a status outside the contract, a bug in a log, a process that ended by itself
leak            a secret or personal data in a log or a response
disordered      messages of a session in another order than they were acknowledged, or than a reader had seen
torn            a part of the messages of one append
miscounted      a session's count is not the number of its messages
untrue          the history says that a user was made who has no row, or that a failure healed without a success
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tools.chaos import workload
from tools.chaos.history import APPEND, DELETED, ENSURE, OPEN, Operation
from tools.chaos.message_checker import check_messages
from tools.chaos.violation import Violation
from tools.chaos.workload import PREFIX, User

SLOW_SECONDS = 12.5
# 0 without a response.
STATUSES = {ENSURE: (0, 200, 201, 410, 503), OPEN: (0, 201, 503), APPEND: (0, 201, 503)}
OTHER_STATUSES = (0, 200, 503)


@dataclass(frozen=True, slots=True)
class Row:
    """The columns of users that are compared; `version` is in Clerk's milliseconds."""

    clerk_id: str
    assistant_id: str
    email: str | None
    name: str | None
    version: int
    deleted: bool


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """The columns of deliveries that are compared. A kill costs entries, so there may be less than happened."""

    svix_id: str
    type: str | None
    clerk_id: str | None
    status: int
    outcome: str | None
    resolved: bool


@dataclass
class Evidence:
    """What the checker decides from."""

    users: dict[str, User]
    operations: list[Operation]
    rows: list[Row]
    tombstones: set[str]
    # The Clerk ids in provisioning_attempts.
    attempts: set[str]
    # The ids of the living assistants, by the name under which they were made.
    alive: dict[str, set[str]]
    # The texts of each session's messages, in their order.
    messages: dict[str, list[str]] = field(default_factory=dict)
    # The sessions whose count is wrong.
    miscounted: list[str] = field(default_factory=list)
    # What the service remembers.
    history: list[HistoryEntry] = field(default_factory=list)
    # What was noticed during the campaign.
    noticed: list[Violation] = field(default_factory=list)
    # The ids of the assistants that Backboard has lost by itself.
    vanished: set[str] = field(default_factory=set)


def check(evidence: Evidence) -> list[Violation]:
    """Every violation; none, if all is well."""
    found = list(evidence.noticed)
    for operation in evidence.operations:
        found += _check_response(operation)
    found += _check_tables(evidence)
    found += _check_assistants(evidence)
    found += _check_effects(evidence)
    found += check_messages(evidence.operations, evidence.messages)
    found += [Violation("miscounted", f"session {session_id}") for session_id in evidence.miscounted]
    found += _check_history(evidence)
    found += [Violation("stuck", f"an attempt of {clerk_id} is left") for clerk_id in sorted(evidence.attempts)]
    return found


def _check_response(one: Operation) -> Iterator[Violation]:
    what = f"{one.kind} of {one.clerk_id}: {one.status} after {one.seconds:.1f} s"
    if one.seconds > SLOW_SECONDS:
        yield Violation("slow", what)
    if one.status == 503 and not (one.retry_after or "").isdigit():
        yield Violation("silent", what)
    if one.status not in STATUSES.get(one.kind, OTHER_STATUSES):
        yield Violation("unexpected", what)
    if one.reset:
        yield Violation("reset", what)
    if one.leaked:
        yield Violation("leak", f"the response to {what}")


def _check_tables(evidence: Evidence) -> Iterator[Violation]:
    count = Counter(row.clerk_id for row in evidence.rows)
    for row in evidence.rows:
        if count[row.clerk_id] > 1:
            yield Violation("duplicate", f"{count[row.clerk_id]} rows of {row.clerk_id}")
        user = evidence.users.get(row.clerk_id)
        if user is None or not (user.newest or user.ensured):
            yield Violation("phantom", f"a row of {row.clerk_id}")
        if not row.deleted and row.clerk_id in evidence.tombstones:
            yield Violation("resurrected", f"a live row of {row.clerk_id} beside the tombstone")
        if row.deleted and row.clerk_id not in evidence.tombstones:
            yield Violation("lost", f"the tombstone of {row.clerk_id}")
    yield from dangling(evidence.rows, evidence.alive)


def _check_history(evidence: Evidence) -> Iterator[Violation]:
    have_rows = {row.clerk_id for row in evidence.rows}
    for entry in evidence.history:
        if entry.outcome == "created" and entry.clerk_id not in have_rows:
            yield Violation("untrue", f"{entry.svix_id} has made {entry.clerk_id}, who has no row")
        # Those of a user's creation are resolved by the user's row as well.
        if entry.resolved and entry.status >= 500 and entry.type not in ("user.created", "ensure_user"):
            yield Violation("untrue", f"{entry.svix_id} is resolved without a success")


def dangling(rows: Iterable[Row], alive: Mapping[str, set[str]]) -> Iterator[Violation]:
    """The live rows with an assistant that is gone; `alive` has the assistants by their names."""
    for row in rows:
        if not row.deleted and row.assistant_id not in alive.get(PREFIX + row.clerk_id, ()):
            yield Violation("dangling", f"{row.clerk_id} -> {row.assistant_id}")


def _check_assistants(evidence: Evidence) -> Iterator[Violation]:
    held = {row.clerk_id: row.assistant_id for row in evidence.rows if not row.deleted}
    for name, ids in evidence.alive.items():
        clerk_id = name.removeprefix(PREFIX)
        if clerk_id not in evidence.users:
            yield Violation("phantom", f"an assistant named {name}")
        elif clerk_id in held and len(ids) > 1:
            yield Violation("duplicate", f"{len(ids)} assistants of {clerk_id}")
        elif clerk_id not in held and ids:
            yield Violation("orphan", f"{len(ids)} assistants of {clerk_id}, who has no live row")


def _check_effects(evidence: Evidence) -> Iterator[Violation]:
    rows = {row.clerk_id: row for row in evidence.rows}
    operations: dict[str, list[Operation]] = defaultdict(list)
    for one in evidence.operations:
        if one.result == "ok":
            operations[one.clerk_id].append(one)
    for clerk_id, user in evidence.users.items():
        row = rows.get(clerk_id)
        accepted = operations[clerk_id]
        yield from _check_newest(clerk_id, user, row, accepted, gone=clerk_id in evidence.tombstones)
        yield from _check_deletion(clerk_id, row, accepted, gone=clerk_id in evidence.tombstones)
        yield from _check_reads(clerk_id, accepted)
        for one in accepted:
            if one.assistant_id in evidence.vanished:
                continue
            if one.assistant_id and (row is None or row.assistant_id != one.assistant_id):
                yield Violation("lost", f"the assistant that ensure-user answered for {clerk_id}")


def _check_newest(
    clerk_id: str, user: User, row: Row | None, accepted: Iterable[Operation], *, gone: bool
) -> Iterator[Violation]:
    """The newest profile that was accepted is the one that stands, unless the user is told to be gone."""
    newest = max((one.version for one in accepted), default=0)
    if not newest or (user.is_deleted and gone):
        return
    if row is None or row.version < newest:
        yield Violation("lost", f"version {newest} of {clerk_id}, there is {row.version if row else 'no row'}")
    elif row.name != workload.name(clerk_id, row.version) or row.email != workload.email(clerk_id):
        yield Violation("lost", f"the profile of {clerk_id} is not that of its version")


def _check_reads(clerk_id: str, accepted: list[Operation]) -> Iterator[Violation]:
    """ensure-user never returns an older profile than one that was accepted, or returned, before it was asked."""
    for read in accepted:
        if not read.assistant_id:
            continue
        newest = max((one.version for one in accepted if one.ended < read.began), default=0)
        if read.version < newest:
            yield Violation("lost", f"version {newest} of {clerk_id}, ensure-user then said {read.version}")


def _check_deletion(clerk_id: str, row: Row | None, accepted: list[Operation], *, gone: bool) -> Iterator[Violation]:
    ends = [one.ended for one in accepted if one.kind == DELETED]
    if not ends:
        return
    if not gone:
        yield Violation("lost", f"the deletion of {clerk_id}")
    if row is not None and not row.deleted:
        yield Violation("resurrected", f"{clerk_id} after the deletion was accepted")
    if row is not None and row.deleted and (row.email or row.name):
        yield Violation("leak", f"the personal data of {clerk_id}, who is gone")
    for one in accepted:
        if one.kind == ENSURE and one.status != 410 and one.began > min(ends):
            yield Violation("resurrected", f"{clerk_id} was answered for after the deletion was accepted")
