"""`UserDeletion.delete`, step by step as in app/users/deletion.py.

The tombstone is committed before anything is deleted at Backboard.
"""

from tests.users.model.world import (
    SEVERAL,
    Actor,
    Context,
    Departure,
    Design,
    Moves,
    World,
    acknowledged,
    after_fault,
    after_lag,
    delete_next,
    failed,
    named,
    without,
)


def mark_deleted(world: World, me: Actor, context: Context) -> Moves:
    """Lock; tombstone, cleared profile and, where there was a row, an attempt row; COMMIT."""
    if not context.lock_is_free and Departure.MARKS_DELETED_WITHOUT_LOCK not in context.departures:
        yield "times out waiting for the lock", world, failed(me)
        return
    own = tuple(row.assistant for row in world.rows)
    if Departure.DELETES_BEFORE_TOMBSTONE in context.departures and set(own) & set(world.assistants):
        yield "deletes an assistant", without(world, own[0]), me
        return
    marked = world._replace(
        rows=tuple(row._replace(live=False) for row in world.rows),
        tombstone=True,
        tries=record_deletion(world, context.departures),
    )
    yield "marks the user deleted", marked, me._replace(step="delete_own", read=world.tries, chosen=own)
    if world.faults:
        yield "has its COMMIT refused", after_fault(world), failed(me)
        yield "marks the user deleted, answer lost", after_fault(marked), failed(me)


def delete_own(world: World, me: Actor, _: Context) -> Moves:
    """DELETE the row's assistant by its id; then, where an attempt row stood before, look for others."""
    if me.chosen:
        yield from delete_next(world, me)
    else:
        yield "has deleted the row's assistant", world, me._replace(step="find_named" if me.read else "finish")


def find_named(world: World, me: Actor, _: Context) -> Moves:
    """GET every exact match of the name."""
    yield "finds assistants by name", world, me._replace(step="delete_named", chosen=named(world))
    if named(world) and world.lags:
        yield "is not shown an assistant yet", after_lag(world), me._replace(step="delete_named")
    if world.faults:
        yield "fails to look up assistants", after_fault(world), failed(me)


def delete_named(world: World, me: Actor, _: Context) -> Moves:
    """DELETE each of them."""
    if me.chosen:
        yield from delete_next(world, me)
    else:
        yield "has deleted the named assistants", world, me._replace(step="finish")


def finish(world: World, me: Actor, context: Context) -> Moves:
    """Clear the attempt row that this delivery wrote, if tries is still 1; an older one waits for reconcile."""
    clears = Departure.CLEARS_OLDER_ATTEMPT in context.departures if me.read else world.tries == 1
    finished = world._replace(tries=0) if clears else world
    yield "finishes and answers", finished, acknowledged(me)
    if world.faults:
        yield "finishes, answer lost", after_fault(finished), failed(me)


def record_deletion(world: World, departures: Design) -> int:
    """Count the deletion as a try where there was a row: a try that clears its own attempt then keeps ours."""
    if not world.rows or Departure.MARKS_DELETED_WITHOUT_ATTEMPT in departures:
        return world.tries
    if world.tries and Departure.RELIES_ON_ANOTHER_TRYS_ATTEMPT in departures:
        return world.tries
    return min(world.tries + 1, SEVERAL)


STEPS = {
    "mark_deleted": mark_deleted,
    "delete_own": delete_own,
    "find_named": find_named,
    "delete_named": delete_named,
    "finish": finish,
}
