"""Drift between Clerk, users and Backboard: what it is called, when it is due, and what is not to be believed.

Nothing in here asks anybody; everything decides on what was read.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Literal, get_args

from app.backboard.models import Assistant
from app.clerk.users import CLERK_ID, Profile

Kind = Literal["missing", "stale", "deleted", "duplicate", "orphaned"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# found: seen, and this run changes nothing. waiting: to be mended by a later run, when its time has come.
# left: could not or must not be mended by this run.
State = Literal["found", "mended", "waiting", "left"]

# What this run would take from Backboard or end for good.
DESTRUCTIVE: frozenset[Kind] = frozenset(("deleted", "duplicate", "orphaned"))
RENAMED = "orphan:"
SHARE = 0.05
FEW_ROWS = 2
FEW_CANDIDATES = 20
CHANGES_A_RUN = 50


class UnsafeToProceed(Exception):
    """Reconcile could do harm here, so it does nothing; the text is a sentence for a person."""


class NoClerkKey(Exception):
    """Only Clerk can decide, and CLERK_SECRET_KEY is not set."""


@dataclass(slots=True)
class Finding:
    """One thing that is not as it should be; ids only."""

    kind: Kind
    clerk_id: str
    assistant_id: str | None
    state: State = "found"


@dataclass(frozen=True, slots=True)
class Named:
    """An assistant whose name says whose it is; `renamed_on` is set once an earlier run has put it aside."""

    assistant: Assistant
    clerk_id: str
    renamed_on: date | None = None


@dataclass(frozen=True, slots=True)
class GracePeriods:
    """How old an assistant or a note must be, and how long what was put aside is kept."""

    min_age: timedelta
    keep: timedelta

    def are_old(self, named: Iterable[Named]) -> bool:
        """Whether none of these may be of a sign-up that is still under way."""
        return all(one.renamed_on is not None or self.are_over(one) for one in named)

    def are_over(self, named: Named, *, stood_before: bool = False) -> bool:
        """Whether the next step is due. A tombstone from before this run spares the age, never the keeping."""
        now = datetime.now(UTC)
        if named.renamed_on is not None:
            return named.renamed_on + self.keep <= now.date()
        return stood_before or named.assistant.created_at <= now - self.min_age


class AssistantNames:
    """Reads assistants' names: exactly the prefix and a Clerk id, or that behind the mark of an earlier run."""

    def __init__(self, prefix: str) -> None:
        plain = f"{re.escape(prefix)}(?P<clerk_id>{CLERK_ID.pattern})"
        self._pattern = re.compile(rf"(?:{RENAMED}(?P<day>\d{{4}}-\d{{2}}-\d{{2}}):)?{plain}", re.ASCII)
        self._prefix = prefix

    def read(self, assistant: Assistant) -> Named | None:
        """None for a name that is not exactly ours, which must never be touched."""
        match = self._pattern.fullmatch(assistant.name)
        if match is None:
            return None
        try:
            day = date.fromisoformat(match["day"]) if match["day"] else None
        except ValueError:
            return None
        return Named(assistant, match["clerk_id"], day)

    def is_under_prefix(self, assistant: Assistant) -> bool:
        return assistant.name.startswith(self._prefix)


def set_aside(name: str) -> str:
    """The name of an assistant that waits for its deletion: no lookup by the user's own name finds it."""
    return f"{RENAMED}{datetime.now(UTC).date().isoformat()}:{name}"


@dataclass(slots=True)
class ChangeLimit:
    """How many changes at Backboard this run may still make."""

    left: int = CHANGES_A_RUN

    def take(self, changes: int = 1) -> bool:
        """Whether so many more may be made; then they count."""
        if self.left < changes:
            return False
        self.left -= changes
        return True


@dataclass(slots=True)
class UserDrift:
    """One user with everything that was found about them, and what may mend it."""

    clerk_id: str
    # What Clerk says of a user who has no row, or an older one.
    profile: Profile | None = None
    # Clerk has said for certain that there is no such user.
    missing_in_clerk: bool = False
    # An assistant of their name was seen, or may be out of sight: look by name before creating.
    look_first: bool = False
    # A note of theirs is open.
    noted: bool = False
    # The listing was cut and no note leads here: what is known is not enough to take anything away.
    skip_destructive: bool = False
    renamed: list[Named] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def may_have_too_many(self) -> bool:
        """Whether there may be more assistants of this user than one, or a note to be forgotten."""
        doubtful = self.noted or self.look_first or bool(self.renamed)
        return doubtful or any(finding.kind in DESTRUCTIVE for finding in self.findings)

    def at_stake(self) -> int:
        """How many assistants the user's deletion takes: the row's own, and with a note all of the name."""
        kinds = DESTRUCTIVE if self.noted else ("deleted",)
        return sum(finding.kind in kinds and finding.assistant_id is not None for finding in self.findings)

    def add(self, kind: Kind, assistant_id: str | None = None, state: State = "found") -> None:
        self.findings.append(Finding(kind, self.clerk_id, assistant_id, state))


@dataclass(slots=True)
class ScanResult:
    """What stands at Clerk, in users and at Backboard, user by user."""

    started_at: datetime
    cases: dict[str, UserDrift] = field(default_factory=dict)
    # Assistants with exactly one of our names, and others under the prefix.
    matching: int = 0
    strange: int = 0
    cut: bool = False
    live: int = 0
    attempts: int = 0
    # Seconds since a row last changed, whoever changed it; a webhook that is no longer delivered shows only here.
    silence: int | None = None

    def case(self, clerk_id: str) -> UserDrift:
        return self.cases.setdefault(clerk_id, UserDrift(clerk_id))

    def findings(self) -> list[Finding]:
        return [finding for _, case in sorted(self.cases.items()) for finding in case.findings]

    def count(self, kind: Kind, *states: State) -> int:
        wanted = states or get_args(State)
        return sum(one.kind == kind and one.state in wanted for case in self.cases.values() for one in case.findings)


def check_candidates(survey: ScanResult) -> None:
    """Refuse a run that would take away more than can be explained by accidents."""
    candidates = sum(survey.count(kind, "found") for kind in KINDS if kind in DESTRUCTIVE)
    most = max(FEW_CANDIDATES, int(survey.matching * SHARE))
    if candidates > most:
        raise UnsafeToProceed(
            f"{candidates} assistants or users would go, and more than {most} of {survey.matching} is no accident:"
            " are the keys of Clerk and Backboard and ASSISTANT_NAME_PREFIX those of this database?"
        )


def check_missing_in_clerk(missing_in_clerk: int, live: int) -> None:
    """Refuse when Clerk's listing lacks more of our users than can be explained by lost events."""
    most = max(FEW_CANDIDATES, int(live * SHARE))
    if missing_in_clerk > most or (live and missing_in_clerk == live):
        raise UnsafeToProceed(
            f"{missing_in_clerk} of {live} users are not in Clerk's listing: CLERK_SECRET_KEY belongs to another"
            " instance than this database, as it seems"
        )


def check_unclaimed(total_rows: int, claimed: Iterable[str], seen: Iterable[str]) -> None:
    """Refuse when users is empty while assistants of ours exist that no note explains."""
    if total_rows == 0 and set(seen) - set(claimed):
        raise UnsafeToProceed(
            "users is empty while Backboard has assistants with this prefix: the database or the key is another"
            " environment's, or the rows are lost and a backup has to bring them back first"
        )
