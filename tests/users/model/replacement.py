"""`AssistantReplacement.replace`, step by step as in app/users/replacement.py: a session's, or reconcile's."""

from tests.users.model.provisioning import clear_attempt
from tests.users.model.world import (
    NEW_ASSISTANT,
    SEVERAL,
    Actor,
    Context,
    Departure,
    Moves,
    World,
    acknowledged,
    after_fault,
    after_lag,
    failed,
    named,
)


def notice(world: World, me: Actor, context: Context) -> Moves:
    """A thread is to be made, and Backboard says that there is no such assistant."""
    lost = lost_assistant(world)
    if lost is not None:
        yield "finds the assistant missing", world, me._replace(step="record_replacement", chosen=(lost,))
    elif world.lags and Departure.TAKES_UNLISTED_FOR_LOST in context.departures and not world.tombstone:
        for row in world.rows:
            unlisted = me._replace(step="record_replacement", chosen=(row.assistant,))
            yield "is not shown the assistant yet", after_lag(world), unlisted


def record_replacement(world: World, me: Actor, context: Context) -> Moves:
    """1  Record the attempt, committed by itself."""
    if Departure.REPLACES_WITHOUT_ATTEMPT in context.departures:
        yield "records no attempt", world, me._replace(step="lock_row")
        return
    recorded = world._replace(tries=min(world.tries + 1, SEVERAL), tried_since_read=True)
    yield "records the attempt", recorded, me._replace(step="lock_row")


def lock_row(world: World, me: Actor, context: Context) -> Moves:
    """2, 3  Lock; then row and tombstone, and a look at the row's assistant."""
    blind = {Departure.REPLACES_WITHOUT_LOOKING_AGAIN, Departure.TAKES_UNLISTED_FOR_LOST}
    looks_again = not blind & context.departures
    if not context.lock_is_free:
        yield "times out waiting for the lock", world, failed(me)
    elif looks_again and lost_assistant(world) != me.chosen[0]:
        settled = world._replace(tries=0) if world.tries == 1 else world
        yield "finds the user deleted or the assistant replaced", settled, acknowledged(me)
    else:
        yield "takes the lock", world, me._replace(step="replace_by_name", in_transaction=True)


def replace_by_name(world: World, me: Actor, context: Context) -> Moves:
    """4  Ask Backboard by name, adopt the oldest match; none: create the assistant."""
    free = tuple(each for each in named(world) if each not in {row.assistant for row in world.rows})
    looks = free and Departure.REPLACES_WITHOUT_LOOKUP not in context.departures
    if looks:
        yield "adopts an assistant", world, me._replace(step="update", chosen=(*me.chosen, free[0]))
    if not looks or world.lags:
        world = after_lag(world) if looks else world
        created = world._replace(assistants=(*world.assistants, NEW_ASSISTANT))
        yield "creates an assistant", created, me._replace(step="update", chosen=(*me.chosen, NEW_ASSISTANT))
        if world.faults:
            yield "creates an assistant, answer lost", after_fault(created), failed(me)
            in_flight = world._replace(late_creates=world.late_creates + 1)
            yield "gives up on a create that is in flight", after_fault(in_flight), failed(me)
    if world.faults:
        yield "fails at Backboard", after_fault(world), failed(me)


def update(world: World, me: Actor, context: Context) -> Moves:
    """5, 6  UPDATE, clear the attempt, COMMIT: all or nothing, and nothing once the transaction is lost."""
    lost, new = me.chosen
    if not me.in_transaction:
        yield "cannot update", world, failed(me)
        return
    rows = tuple(
        row._replace(assistant=new) if (row.assistant, row.live) == (lost, True) else row for row in world.rows
    )
    updated = clear_attempt(world._replace(rows=rows), me, context.departures)
    yield "commits", updated, acknowledged(me)
    if world.faults:
        yield "commits, answer lost", after_fault(updated), failed(me)
        yield "has its COMMIT refused", after_fault(world), failed(me)


STEPS = {
    "notice": notice,
    "record_replacement": record_replacement,
    "lock_row": lock_row,
    "replace_by_name": replace_by_name,
    "update": update,
}


def lost_assistant(world: World) -> int | None:
    """The assistant of a live row that is not at Backboard."""
    if world.tombstone:
        return None
    return next((row.assistant for row in world.rows if row.live and row.assistant not in world.assistants), None)
