"""Verdicts in words: of a user, of an open doubt, of the whole service. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.ops.models import (
    Delivery,
    DoubtAge,
    DoubtKind,
    EventAge,
    FailureGroup,
    Finding,
    Process,
    Refusal,
)
from app.ops.user_models import UserFacts
from app.reasons import REASONS, Reason
from app.users.models import User

HOUR_SECONDS = 3600
DAY_SECONDS = 86_400
# The status of a verified event that is no usable one.
UNUSABLE = 422

_RECONCILE = "`python -m app reconcile`, and with --apply if its table is right."
# What a doubt is about, and whether it heals by itself.
DOUBTS: dict[DoubtKind, Reason] = {
    "sign_up": Reason("", "A create was sent and its outcome is unknown.", "Heals at the next event or ensure-user."),
    "deletion": Reason(
        "", "The user is deleted here, and perhaps not at Backboard.", f"Heals at Clerk's next try; else {_RECONCILE}"
    ),
    "second_assistant": Reason("", "Backboard may hold a second assistant of the user.", f"Needs repair: {_RECONCILE}"),
    "session": Reason("", "A thread may have been made that no session names.", "Heals at the user's next session."),
    "thread": Reason("", "The session is deleted here, and not yet at Backboard.", f"Needs repair: {_RECONCILE}"),
}
# The answer that this is written into came from Postgres, so these are over.
_OVER = {
    "database_down": "Postgres could not be reached",
    "database_slow": "Postgres did not answer in time",
    "database_full": "Postgres was out of disk, memory or connections",
    "database_missing": "The database did not exist",
    "database_refused": "Postgres refused the user or the password",
}
_QUESTIONS = {"signature": "Is the signing secret right?", "stale": "Is this machine's clock right?"}
_UNKNOWN_REASON = Reason("", "The answer was an error that has no reason.", "Look for level=error in the log.")


@dataclass(frozen=True, slots=True)
class Verdict:
    text: str
    can_chat: bool


def reason_of(word: str | None) -> Reason:
    """The meaning and the remedy of a reason; of a bug there is none."""
    return REASONS.get(word or "", _UNKNOWN_REASON)


def ago(seconds: float) -> str:
    """`3 minutes ago`."""
    for unit, length in (("day", DAY_SECONDS), ("hour", HOUR_SECONDS), ("minute", 60)):
        if seconds >= length:
            number = int(seconds // length)
            return f"{number} {unit}{'' if number == 1 else 's'} ago"
    return "less than a minute ago"


def clock(at: datetime, now: datetime) -> str:
    """`14:02 UTC` of the same day, else `3 May`, with the year where that is another."""
    at = at.astimezone(UTC)
    if at.date() == now.astimezone(UTC).date():
        return f"{at:%H:%M} UTC"
    return f"{at.day} {at:%B}" + ("" if at.year == now.year else f" {at.year}")


def plural(number: int, word: str, words: str | None = None) -> str:
    return f"{number} {word if number == 1 else words or word + 's'}"


def user_verdict(user: User | None, facts: UserFacts, deliveries: Sequence[Delivery], now: datetime) -> Verdict:
    """Whether a user can chat, and if not, why and what will help."""
    deleted_at = facts.deleted_at or (user and user.deleted_at)
    is_doubtful = facts.tries is not None and facts.resolved_at is None
    if deleted_at:
        end = f"deleted {clock(deleted_at, now)}; "
        if is_doubtful:
            return Verdict(f"{end}at Backboard perhaps not yet: {_heals('deletion')}", can_chat=False)
        return Verdict(f"{end}nothing brings them back", can_chat=False)
    if user is not None:
        more = "" if facts.tries is None else f"; a second assistant may exist: {_heals('second_assistant')}"
        return Verdict(f"has an assistant and can chat{more}", can_chat=True)
    if facts.last_at is not None:
        sent = f"half-made: create sent {clock(facts.last_at, now)}, outcome unknown; "
        return Verdict(f"{sent}heals at the next event", can_chat=False)
    failing = next((one for one in deliveries if one.is_failing), None)
    if failing is not None:
        why = f"{clock(failing.last_at, now)} ({failing.reason or failing.status})"
        return Verdict(f"has no row: the last delivery failed {why}; heals at Clerk's next try", can_chat=False)
    return Verdict("has no row; nothing is under way", can_chat=False)


def _heals(kind: DoubtKind) -> str:
    remedy = DOUBTS[kind].remedy.removesuffix(".")
    return remedy[0].lower() + remedy[1:]


def findings(
    failures: Sequence[FailureGroup],
    refusals: Sequence[Refusal],
    doubts: Sequence[DoubtAge],
    processes: Sequence[Process],
) -> list[Finding]:
    """What is wrong, what hurts most first."""
    alive = [process for process in processes if not process.is_silent]
    found = [_failure(group) for group in failures]
    if not alive:
        found.insert(0, _not_running(processes))
    if not failures and any(process.breaker != "closed" for process in alive):
        down = reason_of("backboard_down")
        found.append(Finding("Backboard fails", "new users wait, existing ones are served", down.remedy))
    found += [_refusal(refusal) for refusal in refusals]
    found += [_doubt(age) for age in doubts if age.number and (age.oldest_seconds or 0) >= HOUR_SECONDS]
    return found


def news(processes: Sequence[Process], now: datetime) -> list[str]:
    """Sentences about what is over, or hurts no user: for an hour, that the history has lost something."""
    recent = [one for one in processes if one.lost_at and now - one.lost_at < timedelta(seconds=HOUR_SECONDS)]
    if not recent:
        return []
    lost = plural(sum(one.lost for one in recent), "entry", "entries")
    last = clock(max(one.lost_at for one in recent if one.lost_at), now)
    return [f"The history lacks {lost}, the last of {last}: its figures are too low, and users miss nothing."]


def _not_running(processes: Sequence[Process]) -> Finding:
    if not processes:
        todo = "Start the service; with OPS_RETENTION_DAYS=0 it keeps no history."
        return Finding("No process has reported in the last day", "Nothing is known of it", todo)
    seen = max(process.seen_at for process in processes)
    return Finding("No process is running", "every caller waits", "Start the service.", seen)


def _failure(group: FailureGroup) -> Finding:
    hurts = f"{plural(group.people, 'person waits', 'people wait')}"
    if not group.people:
        hurts = f"{plural(group.deliveries, 'delivery fails', 'deliveries fail')}"
    todo = group.remedy or "Nothing; Clerk's next try heals it."
    if group.reason in _OVER:
        hurts += " until Clerk's next try"
        return Finding(_OVER[group.reason], hurts, todo, group.since, group.reason, until=group.last_at)
    return Finding(group.meaning.removesuffix("."), hurts, todo, group.since, group.reason)


def _refusal(refusal: Refusal) -> Finding:
    known, is_one = reason_of(refusal.reason), refusal.number == 1
    why = known.meaning.removesuffix(".")
    if refusal.status == UNUSABLE:
        what = f"{plural(refusal.number, 'event')} of Clerk's could not be used: {why}"
        hurts = "the person in it waits" if is_one else "the people in them wait"
        return Finding(what, hurts, known.remedy, refusal.since, refusal.reason)
    refused = f"{plural(refusal.number, 'delivery was', 'deliveries were')} refused, and none was accepted since"
    hurts = f"if Clerk sent {'it' if is_one else 'them'}, everyone who signs up waits"
    todo = f"{_QUESTIONS.get(refusal.reason or '', '')} {known.remedy}".strip()
    return Finding(f"{refused}: {why}", hurts, todo, refusal.since, refusal.reason)


def _doubt(age: DoubtAge) -> Finding:
    what = f"{plural(age.number, 'doubt is', 'doubts are')} open in {age.table}, the oldest for {_length(age)}"
    return Finding(what, "something may be left over at Backboard", f"Run {_RECONCILE}")


def _length(age: DoubtAge) -> str:
    return ago(age.oldest_seconds or 0).removesuffix(" ago")


def sentence(found: Sequence[Finding], last_events: Sequence[EventAge], now: datetime) -> str:
    """One sentence or two: whether all is well, else what is wrong, who is hurt and what to do."""
    if not found:
        ages = [event.age_seconds for event in last_events if event.type != "ensure_user"]
        return f"All is well. {_last_event(min(ages, default=None))}"
    first, *others = found
    since = f"Since {clock(first.since, now)}: " if first.since else ""
    if first.since and first.until:
        since = f"From {clock(first.since, now)} to {clock(first.until, now)}: "
    more = f" And {plural(len(others), 'more thing is', 'more things are')} wrong." if others else ""
    return f"{since}{first.what}. {first.hurts[0].upper()}{first.hurts[1:]}. {first.todo}{more}"


def _last_event(age: float | None) -> str:
    if age is None:
        return "No event of Clerk's has come yet."
    if age < DAY_SECONDS:
        return f"Last event {ago(age)}."
    return f"Last event {ago(age)}: if people signed up or in since then, look at the endpoint in Clerk's dashboard."
