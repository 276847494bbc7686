"""The state that the search explores: what is stored about one user, and the actors that change it.

Everything is a tuple, so that states can be compared and remembered cheaply.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

# An assistant that has just been created; `renumbered` gives it the next number, so a higher number is younger.
NEW_ASSISTANT = 99
# Stands for any number of tries above one: no rule tells two from three.
SEVERAL = 2


class Row(NamedTuple):
    """A row of `users`; not live once `user.deleted` has cleared its profile."""

    assistant: int
    live: bool = True


class World(NamedTuple):
    """What is committed in Postgres, what exists at Backboard, and how many faults may still come."""

    rows: tuple[Row, ...] = ()
    tombstone: bool = False
    # Those of the attempt row; 0 means that there is no attempt row.
    tries: int = 0
    # False from the moment that reconcile has read the attempt row until a try is recorded (`last_at`).
    tried_since_read: bool = True
    # Those that exist, the oldest first.
    assistants: tuple[int, ...] = ()
    # Those of them that reconcile has renamed: no lookup by name finds them.
    renamed: tuple[int, ...] = ()
    # Those that Backboard has lost by itself, as long as a row or an actor knows them.
    vanished: tuple[int, ...] = ()
    # How many more may vanish; these are no faults of ours.
    vanishings: int = 0
    # How many listings may still leave out what is there; they lag by less than reconcile's grace period.
    lags: int = 0
    # Creates that Backboard will process only after their sender has given up.
    late_creates: int = 0
    faults: int = 0


class Actor(NamedTuple):
    """One process at work on the user: a delivery of an event, or reconcile."""

    kind: str
    step: str
    # Deliveries of this event that may still come after this one.
    redeliveries: int = 0
    # Has an open transaction, and with it the user's lock.
    in_transaction: bool = False
    # What it has read: the tries (ensure), whether an attempt row stood before (deletion), whether the attempt row may
    # be cleared (reconcile).
    read: int = 0
    # Assistants that it is about to insert, to delete or to rename; of a session, first the one that was lost.
    chosen: tuple[int, ...] = ()


class Departure(StrEnum):
    """One departure from the design each. The search must find what it breaks."""

    # Of all actors.
    TAKES_NO_LOCK = "takes no lock"
    HAS_NO_UNIQUE_INDEX = "has no unique index"
    # Of ensure.
    RECORDS_NO_ATTEMPT = "records no attempt"
    LOOKS_UP_ALWAYS = "looks up on every try"
    # The tries as step 1 returned them decide whether to look up, and whether the attempt row may be cleared.
    TRUSTS_TRIES_READ_BEFORE_LOCK = "trusts the tries read before the lock"
    CLEARS_ON_EVERY_SUCCESS = "clears the attempt on every success"
    CLEARS_ON_REFUSAL = "clears the attempt after a refusal"
    CLEARS_WITHOUT_INSERT = "clears any attempt when it finds a row or tombstone"
    COMPENSATES = "deletes the assistant when COMMIT is refused"
    TREATS_FAILED_LOOKUP_AS_EMPTY = "treats a failed lookup as an empty one"
    IGNORES_TOMBSTONES = "ignores tombstones"
    ANSWERS_503_TO_LOST_COMMIT = "answers 503 to a lost COMMIT"
    ANSWERS_2XX_TO_LOST_COMMIT = "answers 2xx to a lost COMMIT"
    # Of the deletion.
    MARKS_DELETED_WITHOUT_LOCK = "marks the user deleted without the lock"
    MARKS_DELETED_WITHOUT_ATTEMPT = "marks the user deleted without an attempt row"
    RELIES_ON_ANOTHER_TRYS_ATTEMPT = "relies on the attempt row of another try"
    DELETES_BEFORE_TOMBSTONE = "deletes the assistant before the tombstone"
    CLEARS_OLDER_ATTEMPT = "clears an older attempt after deleting by name"
    # Of the replacement.
    REPLACES_WITHOUT_ATTEMPT = "replaces without an attempt row"
    REPLACES_WITHOUT_LOOKUP = "replaces without asking by name"
    REPLACES_WITHOUT_LOOKING_AGAIN = "replaces without reading the row under the lock"
    TAKES_UNLISTED_FOR_LOST = "takes an assistant for lost that a listing leaves out"
    # Of reconcile.
    DELETES_WITHOUT_RENAMING = "deletes a duplicate without renaming it first"
    LEAVES_LOST_ASSISTANTS = "leaves lost assistants to the next session"
    RECONCILE_NEVER_RUNS = "reconcile never runs"
    RECONCILES_BY_LISTING = "reconciles by listing Backboard"
    DELETES_UNOWNED = "deletes assistants that have neither row nor tombstone"
    CLEARS_YOUNG_ATTEMPTS = "clears an attempt while a try runs"


Design = frozenset[Departure]


class Context(NamedTuple):
    """What an actor meets, apart from the world: the design, the lock, and the other actors."""

    departures: Design
    # No other actor holds the user's lock, or the design takes none.
    lock_is_free: bool
    # No try runs and no create is in flight: what "an hour ago" means to reconcile.
    grace_is_over: bool


# What happens, the world after it, and the actor after it.
Move = tuple[str, World, Actor]
Moves = Iterator[Move]

FIRST_STEPS = {"ensure": "get_state", "deletion": "mark_deleted", "session": "notice", "reconcile": "read"}
ACKNOWLEDGED = "acknowledged"
GAVE_UP = "gave up"
AT_REST = frozenset({*FIRST_STEPS.values(), ACKNOWLEDGED, GAVE_UP})


def deliveries(kind: str, count: int = 1) -> Actor:
    """Build an actor that may try `count` times."""
    return Actor(kind, FIRST_STEPS[kind], count - 1)


def acknowledged(me: Actor) -> Actor:
    return Actor(me.kind, ACKNOWLEDGED)


def failed(me: Actor) -> Actor:
    """503, or dead: the transaction is rolled back, and the event may be delivered again."""
    if me.redeliveries:
        return Actor(me.kind, FIRST_STEPS[me.kind], me.redeliveries - 1)
    return Actor(me.kind, GAVE_UP)


def after_fault(world: World) -> World:
    return world._replace(faults=world.faults - 1)


def after_lag(world: World) -> World:
    return world._replace(lags=world.lags - 1)


def without(world: World, assistant: int) -> World:
    return world._replace(
        assistants=tuple(each for each in world.assistants if each != assistant),
        renamed=tuple(each for each in world.renamed if each != assistant),
    )


def vanish(world: World, assistant: int) -> World:
    """Backboard loses an assistant: a person deletes it at the dashboard."""
    lost = without(world, assistant)
    return lost._replace(vanished=tuple(sorted({*world.vanished, assistant})), vanishings=world.vanishings - 1)


def named(world: World) -> tuple[int, ...]:
    """The assistants that a lookup by name finds, the oldest first."""
    return tuple(each for each in world.assistants if each not in world.renamed)


def delete_next(world: World, me: Actor) -> Moves:
    """DELETE the first of the chosen assistants; a 404 counts as done."""
    yield "deletes an assistant", without(world, me.chosen[0]), me._replace(chosen=me.chosen[1:])
    if world.faults:
        yield "fails to delete an assistant", after_fault(world), failed(me)


def accidents(world: World, me: Actor) -> Moves:
    """What may happen to any actor at any step."""
    if not world.faults or me.step in AT_REST:
        return
    yield "is killed", after_fault(world), failed(me)
    if me.in_transaction:
        # The actor goes on until it uses the connection; the lock is gone at once.
        yield "loses its connection", after_fault(world), me._replace(in_transaction=False)
