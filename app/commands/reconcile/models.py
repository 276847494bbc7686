"""Drift between Clerk, Postgres and Backboard: its kinds, and its grace periods. No I/O."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Literal, get_args

from app.backboard.models import Assistant
from app.clerk.users import CLERK_ID, Profile

Kind = Literal["missing", "stale", "deleted", "duplicate", "orphaned"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# found: seen, and this run changes nothing. waiting: a later run repairs it, when its grace period is over.
# left: this run could not or must not repair it.
State = Literal["found", "mended", "waiting", "left"]
STATES: tuple[State, ...] = get_args(State)

# These repairs delete or rename at Backboard, or write a tombstone, which is final.
DESTRUCTIVE: frozenset[Kind] = frozenset(("deleted", "duplicate", "orphaned"))
ORPHAN_PREFIX = "orphan:"
CHANGES_PER_RUN = 50


class UnsafeToProceed(Exception):
    """A run could do harm, so it does nothing; the text is a sentence for the operator."""


class NoClerkKey(Exception):
    """Only Clerk can decide, and CLERK_SECRET_KEY is not set."""


@dataclass(slots=True)
class Finding:
    """One difference; ids only."""

    kind: Kind
    clerk_id: str
    assistant_id: str | None
    state: State = "found"


@dataclass(frozen=True, slots=True)
class NamedAssistant:
    """An assistant with the user that its name tells; an earlier run has renamed it if `renamed_on` is set."""

    assistant: Assistant
    clerk_id: str
    renamed_on: date | None = None


@dataclass(frozen=True, slots=True)
class GracePeriods:
    """How old an assistant or an attempt must be, and how long a renamed assistant is kept."""

    min_age: timedelta
    keep: timedelta

    def are_old(self, named: Iterable[NamedAssistant]) -> bool:
        """Whether none of these can belong to a sign-up under way."""
        return all(one.renamed_on is not None or self.is_due(one) for one in named)

    def is_due(self, named: NamedAssistant, *, had_tombstone: bool = False) -> bool:
        """Whether the next step may be taken. A tombstone from before the run replaces the age, not the keeping."""
        now = datetime.now(UTC)
        if named.renamed_on is not None:
            return named.renamed_on + self.keep <= now.date()
        return had_tombstone or named.assistant.created_at <= now - self.min_age


class AssistantNames:
    """Reads the names of assistants: the prefix and a Clerk id, or the same renamed by an earlier run."""

    def __init__(self, prefix: str) -> None:
        name = f"{re.escape(prefix)}(?P<clerk_id>{CLERK_ID.pattern})"
        self._pattern = re.compile(rf"(?:{ORPHAN_PREFIX}(?P<day>\d{{4}}-\d{{2}}-\d{{2}}):)?{name}", re.ASCII)
        self._prefix = prefix

    def read(self, assistant: Assistant) -> NamedAssistant | None:
        """None for a name that is not exactly one of ours; such an assistant is never touched."""
        match = self._pattern.fullmatch(assistant.name)
        if match is None:
            return None
        try:
            day = date.fromisoformat(match["day"]) if match["day"] else None
        except ValueError:
            return None
        return NamedAssistant(assistant, match["clerk_id"], day)

    def has_prefix(self, assistant: Assistant) -> bool:
        return assistant.name.startswith(self._prefix)


def orphan_name(name: str) -> str:
    """The new name of an assistant that will be deleted: no lookup by the user's own name finds it."""
    return f"{ORPHAN_PREFIX}{datetime.now(UTC).date().isoformat()}:{name}"


@dataclass(slots=True)
class ChangeLimit:
    """How many changes at Backboard this run may still make."""

    left: int = CHANGES_PER_RUN

    def take(self, changes: int = 1) -> bool:
        """Count these changes and return True, or return False when they are too many."""
        if self.left < changes:
            return False
        self.left -= changes
        return True


@dataclass(slots=True)
class UserDrift:
    """Everything that differs about one user, and what is needed to repair it."""

    clerk_id: str
    # Clerk's profile of a user without a row, or with an older one.
    profile: Profile | None = None
    # Clerk has definitely said that there is no such user.
    missing_in_clerk: bool = False
    # An assistant of the user exists, or may exist beyond the listing: look by name before creating one.
    look_first: bool = False
    has_attempt: bool = False
    # The assistant of the user's row, if Backboard has lost it.
    lost_assistant: str | None = None
    # The listing is cut and the user has no attempt row: too little is known to delete anything.
    skip_destructive: bool = False
    renamed: list[NamedAssistant] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def needs_clean_up(self) -> bool:
        """Whether the user may have more than one assistant, or an attempt row to delete."""
        is_doubtful = self.has_attempt or self.look_first or bool(self.renamed)
        return is_doubtful or any(finding.kind in DESTRUCTIVE for finding in self.findings)

    def deleted_assistants(self) -> int:
        """How many assistants the user's deletion deletes: the row's own, and with an attempt all of the name."""
        kinds = DESTRUCTIVE if self.has_attempt else ("deleted",)
        return sum(finding.kind in kinds and finding.assistant_id is not None for finding in self.findings)

    def add(self, kind: Kind, assistant_id: str | None = None, state: State = "found") -> None:
        self.findings.append(Finding(kind, self.clerk_id, assistant_id, state))


@dataclass(slots=True)
class ScanResult:
    """What a scan found, user by user, and the totals."""

    started_at: datetime
    drifts: dict[str, UserDrift] = field(default_factory=dict)
    # Assistants with exactly one of our names, and the others under the prefix.
    our_assistants: int = 0
    other_assistants: int = 0
    is_listing_cut: bool = False
    live_users: int = 0
    attempts: int = 0
    # Since a row last changed. When webhooks are no longer delivered, this is the only place that shows it.
    seconds_since_change: int | None = None

    def drift(self, clerk_id: str) -> UserDrift:
        return self.drifts.setdefault(clerk_id, UserDrift(clerk_id))

    def findings(self) -> list[Finding]:
        return [finding for _, drift in sorted(self.drifts.items()) for finding in drift.findings]

    def count(self, kind: Kind, state: State) -> int:
        return sum((finding.kind, finding.state) == (kind, state) for finding in self.findings())
