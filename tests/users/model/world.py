"""What the search of model.py moves about in: one user's facts, and the actors that change them.

Everything is a tuple, so that states can be compared and remembered cheaply.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

# An assistant that has just come to be; `renumbered` gives it the next number, so a higher number is younger.
NEWBORN = 99
# Stands for any number of tries above one: no rule tells two from three.
SEVERAL = 2


class Row(NamedTuple):
    """A row of `users`; not live once `user.deleted` has emptied it."""

    assistant: int
    live: bool = True


class World(NamedTuple):
    """What is committed in Postgres, what exists at Backboard, and how many faults may still come."""

    rows: tuple[Row, ...] = ()
    tombstone: bool = False
    # Those of the attempt row; 0 is no attempt row.
    tries: int = 0
    # False from the moment that reconcile has read the attempt row until somebody notes a try (`last_at`).
    noted: bool = True
    # Those that exist, the oldest first.
    assistants: tuple[int, ...] = ()
    # Creates that Backboard will process only after their sender gave up.
    late: int = 0
    faults: int = 0


class Actor(NamedTuple):
    """One process at work on the user: a delivery of an event, or reconcile."""

    kind: str
    step: str
    # Deliveries of this event that may still come after this one.
    redeliveries: int = 0
    # Has an open transaction, and with it the user's lock.
    connected: bool = False
    # What it remembers: the tries (ensure), that an attempt row stood before (deletion), its age (reconcile).
    saw: int = 0
    # Assistants it means to insert, or to delete.
    hand: tuple[int, ...] = ()


class Wrong(StrEnum):
    """One departure from the design each. The search must find what it breaks."""

    # Concerning everybody.
    TAKES_NO_LOCK = "takes no lock"
    HAS_NO_UNIQUE_INDEX = "has no unique index"
    # Concerning ensure.
    NOTES_NOTHING = "notes nothing"
    LOOKS_UP_ALWAYS = "looks up on every try"
    # Not the tries read under the lock: decides whether to look up, and whether the attempt row may go.
    FIRST_IS_WHO_NOTED_FIRST = "first is who noted first"
    FORGETS_ON_SUCCESS = "forgets on every success"
    FORGETS_ON_REFUSAL = "forgets after a refusal"
    FORGETS_ON_LEAVING = "forgets when row or tombstone is found"
    COMPENSATES = "deletes what it made"
    TAKES_FAILED_LOOKUP_FOR_ABSENT = "takes a failed lookup for absent"
    IGNORES_TOMBSTONES = "ignores tombstones"
    ANSWERS_503_TO_UNKNOWN_COMMIT = "answers 503 to an unknown commit"
    ANSWERS_2XX_TO_UNKNOWN_COMMIT = "answers 2xx to an unknown commit"
    # Concerning the deletion.
    BURIES_WITHOUT_LOCK = "buries without the lock"
    BURIES_WITHOUT_NOTE = "buries without a note"
    BURIES_ON_ANOTHERS_NOTE = "buries without counting itself where a note stands"
    DELETES_BEFORE_BURYING = "deletes the assistant before the tombstone"
    DROPS_OLDER_NOTE = "drops an older note once it has deleted by name"
    # Concerning reconcile.
    RECONCILE_NEVER_RUNS = "reconcile never runs"
    RECONCILES_BY_LISTING = "reconciles by listing Backboard"
    DELETES_THE_UNCLAIMED = "deletes what has neither row nor tombstone"
    CLEARS_YOUNG_NOTES = "clears a note while a try runs"


Design = frozenset[Wrong]


class Around(NamedTuple):
    """What an actor meets, apart from the world: the design, the lock, and the others."""

    wrong: Design
    # Nobody else holds the user's lock, or nobody cares.
    lock_is_free: bool
    # No try runs and no create is late: what "an hour ago" means to reconcile.
    all_is_old: bool


# What happens, the world after it, and the actor after it.
Move = tuple[str, World, Actor]
Moves = Iterator[Move]

FIRST_STEPS = {"ensure": "look", "deletion": "mark_deleted", "reconcile": "read"}
ACKNOWLEDGED = "acknowledged"
GAVE_UP = "gave up"
RESTING = frozenset({*FIRST_STEPS.values(), ACKNOWLEDGED, GAVE_UP})


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


def hurt(world: World) -> World:
    return world._replace(faults=world.faults - 1)


def without(world: World, assistant: int) -> World:
    return world._replace(assistants=tuple(each for each in world.assistants if each != assistant))


def delete_next(world: World, me: Actor) -> Moves:
    """DELETE the first assistant in hand; 404 is done as well."""
    yield "deletes an assistant", without(world, me.hand[0]), me._replace(hand=me.hand[1:])
    if world.faults:
        yield "fails to delete an assistant", hurt(world), failed(me)


def accidents(world: World, me: Actor) -> Moves:
    """What may befall anybody at any step."""
    if not world.faults or me.step in RESTING:
        return
    yield "is killed", hurt(world), failed(me)
    if me.connected:
        # It goes on, since it learns of it only when it uses the connection; the lock is gone at once.
        yield "loses its connection", hurt(world), me._replace(connected=False)
