"""`Provisioning.ensure`, step by step as in app/users/provisioning.py, with all that can go wrong at each."""

from tests.users.model.world import (
    NEW_ASSISTANT,
    SEVERAL,
    Actor,
    Context,
    Departure,
    Design,
    Moves,
    Row,
    World,
    acknowledged,
    after_fault,
    after_lag,
    delete_next,
    failed,
    named,
)


def get_state(world: World, me: Actor, context: Context) -> Moves:
    """0  A row, a tombstone? Without the lock."""
    if has_row_or_tombstone(world, context.departures):
        yield "finds a row or tombstone", world, acknowledged(me)
    else:
        yield "finds no row or tombstone", world, me._replace(step="record_attempt")


def record_attempt(world: World, me: Actor, context: Context) -> Moves:
    """1  Record the attempt, committed by itself."""
    if Departure.RECORDS_NO_ATTEMPT in context.departures:
        yield "records no attempt", world, me._replace(step="lock", read=1)
        return
    tries = min(world.tries + 1, SEVERAL)
    recorded = world._replace(tries=tries, tried_since_read=True)
    yield "records the attempt", recorded, me._replace(step="lock", read=tries)


def lock(world: World, me: Actor, context: Context) -> Moves:
    """2  BEGIN, lock the user; then row, tombstone and tries again."""
    departures = context.departures
    if not context.lock_is_free:
        yield "times out waiting for the lock", world, failed(me)
    elif has_row_or_tombstone(world, departures):
        yield from commit("finishes without insert", world, clear_without_insert(world, departures), me, context)
    elif not world.tries and Departure.RECORDS_NO_ATTEMPT not in departures:
        yield "finds its attempt row deleted", world, failed(me)
    else:
        tries = me.read if trusts_first_reading(departures) else world.tries
        looks_up = tries > 1 or Departure.LOOKS_UP_ALWAYS in departures
        step = "adopt" if looks_up else "create"
        yield "takes the lock", world, me._replace(step=step, in_transaction=True, read=tries)


def adopt(world: World, me: Actor, context: Context) -> Moves:
    """3  tries > 1: ask Backboard by name, adopt the oldest match."""
    none_found = me._replace(step="create")
    if named(world):
        yield "adopts an assistant", world, me._replace(step="insert", chosen=named(world)[:1])
    else:
        yield "finds no assistant", world, none_found
    if named(world) and world.lags:
        yield "is not shown an assistant yet", after_lag(world), none_found
    if world.faults:
        treated_as_empty = Departure.TREATS_FAILED_LOOKUP_AS_EMPTY in context.departures
        yield "fails to look up assistants", after_fault(world), none_found if treated_as_empty else failed(me)


def create(world: World, me: Actor, context: Context) -> Moves:
    """3  tries = 1, or no match: create the assistant."""
    created = world._replace(assistants=(*world.assistants, NEW_ASSISTANT))
    yield "creates an assistant", created, me._replace(step="insert", chosen=(NEW_ASSISTANT,))
    if world.faults:
        clears = Departure.CLEARS_ON_REFUSAL in context.departures
        refused = world._replace(tries=0) if clears else world
        yield "is refused by Backboard", after_fault(refused), failed(me)
        yield "creates an assistant, answer lost", after_fault(created), failed(me)
        in_flight = world._replace(late_creates=world.late_creates + 1)
        yield "gives up on a create that is in flight", after_fault(in_flight), failed(me)


def insert(world: World, me: Actor, context: Context) -> Moves:
    """4, 5  INSERT, clear the attempt, COMMIT: all or nothing, and nothing once the transaction is lost."""
    violates_index = bool(world.rows) and Departure.HAS_NO_UNIQUE_INDEX not in context.departures
    if violates_index or not me.in_transaction:
        yield "cannot insert", world, rolled_back(me, context.departures)
        return
    inserted = world._replace(rows=(*world.rows, Row(me.chosen[0])))
    yield from commit("commits", world, clear_attempt(inserted, me, context.departures), me, context)


def after_lost_commit(world: World, me: Actor, context: Context) -> Moves:
    """COMMIT without an answer: the same lock on another connection, then read the state."""
    if not context.lock_is_free:
        yield "times out waiting for the lock", world, failed(me)
    elif has_row_or_tombstone(world, context.departures):
        yield "finds its COMMIT done", world, acknowledged(me)
    else:
        yield "finds its COMMIT not done", world, failed(me)


def compensate(world: World, me: Actor, _: Context) -> Moves:
    """No step of the design: delete the assistant because its row was not committed."""
    if me.chosen:
        yield from delete_next(world, me)
    else:
        yield "answers 503", world, failed(me)


STEPS = {
    "get_state": get_state,
    "record_attempt": record_attempt,
    "lock": lock,
    "adopt": adopt,
    "create": create,
    "insert": insert,
    "after_lost_commit": after_lost_commit,
    "compensate": compensate,
}


def commit(label: str, world: World, committed: World, me: Actor, context: Context) -> Moves:
    """COMMIT holds the lock until it is decided; only its answer can be lost."""
    yield label, committed, acknowledged(me)
    if world.faults:
        unknown = me._replace(step="after_lost_commit", in_transaction=False, read=0, chosen=())
        if Departure.ANSWERS_503_TO_LOST_COMMIT in context.departures:
            unknown = failed(me)
        elif Departure.ANSWERS_2XX_TO_LOST_COMMIT in context.departures:
            unknown = acknowledged(me)
        yield "has its COMMIT refused", after_fault(world), rolled_back(me, context.departures)
        yield f"{label}, answer lost", after_fault(committed), unknown
        yield "loses COMMIT and answer", after_fault(world), unknown


def rolled_back(me: Actor, departures: Design) -> Actor:
    if Departure.COMPENSATES in departures and me.chosen:
        return me._replace(step="compensate", in_transaction=False)
    return failed(me)


def has_row_or_tombstone(world: World, departures: Design) -> bool:
    return bool(world.rows) or (world.tombstone and Departure.IGNORES_TOMBSTONES not in departures)


def trusts_first_reading(departures: Design) -> bool:
    """Whether the tries of step 1 decide, instead of those read under the lock."""
    return bool(departures & {Departure.TRUSTS_TRIES_READ_BEFORE_LOCK, Departure.RECORDS_NO_ATTEMPT})


def clear_attempt(world: World, me: Actor, departures: Design) -> World:
    """Delete the attempt row where tries is still 1; where it is more, a second assistant may exist."""
    tries = me.read if Departure.TRUSTS_TRIES_READ_BEFORE_LOCK in departures else world.tries
    cleared = tries == 1 or Departure.CLEARS_ON_EVERY_SUCCESS in departures
    return world._replace(tries=0) if cleared else world


def clear_without_insert(world: World, departures: Design) -> World:
    cleared = world.tries == 1 or Departure.CLEARS_WITHOUT_INSERT in departures
    return world._replace(tries=0) if cleared else world
