"""What happened to one user, in the order of time. No I/O."""

from collections.abc import Iterator, Sequence

from app.ops.models import Action, Delivery
from app.ops.user_models import SessionTimes, TimelineEntry, UserFacts
from app.users.models import User


def timeline(
    user: User | None,
    facts: UserFacts,
    deliveries: Sequence[Delivery],
    sessions: Sequence[SessionTimes],
    actions: Sequence[Action],
) -> list[TimelineEntry]:
    """Everything that has a time, newest first."""
    entries = [
        *_deliveries(deliveries),
        *_attempt(facts),
        *_row(user, facts),
        *_sessions(sessions),
        *(TimelineEntry(one.at, "action", f"{one.action} by {one.who}: {one.result}", str(one.id)) for one in actions),
    ]
    return sorted(entries, key=lambda entry: entry.at, reverse=True)


def _deliveries(deliveries: Sequence[Delivery]) -> Iterator[TimelineEntry]:
    for one in deliveries:
        what = f"{one.type or 'an unusable event'}: {one.outcome or one.reason or 'an error'} ({one.status})"
        tries = f", {one.tries} tries since {one.first_at:%d %B %H:%M} UTC" if one.tries > 1 else ""
        healed = f", healed {one.resolved_at:%d %B %H:%M} UTC" if one.resolved_at else ""
        yield TimelineEntry(one.last_at, "delivery", what + tries + healed, one.svix_id)


def _attempt(facts: UserFacts) -> Iterator[TimelineEntry]:
    if facts.first_at is not None:
        yield TimelineEntry(facts.first_at, "attempt", "an attempt is recorded that is not finished")
    if facts.last_at is not None and facts.last_at != facts.first_at:
        yield TimelineEntry(facts.last_at, "attempt", f"the last of {facts.tries} attempts")
    if facts.resolved_at is not None:
        yield TimelineEntry(facts.resolved_at, "attempt", "settled here; reconcile looks for what is left at Backboard")


def _row(user: User | None, facts: UserFacts) -> Iterator[TimelineEntry]:
    if user is not None:
        yield TimelineEntry(user.created_at, "row", "the row was made", user.assistant_id)
        if user.last_sign_in_at is not None:
            yield TimelineEntry(user.last_sign_in_at, "row", "the last sign-in that Clerk has told")
    deleted_at = facts.deleted_at or (user and user.deleted_at)
    if deleted_at:
        yield TimelineEntry(deleted_at, "deletion", "deleted here")


def _sessions(sessions: Sequence[SessionTimes]) -> Iterator[TimelineEntry]:
    for one in sessions:
        yield TimelineEntry(one.created_at, "session", "a session was opened", str(one.id))
        if one.ended_at is not None:
            yield TimelineEntry(one.ended_at, "session", f"a session ended: {one.status}", str(one.id))
