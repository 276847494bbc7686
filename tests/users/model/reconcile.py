"""Reconcile for one user that has an attempt row. It may die like any actor; it reads and changes in separate steps.

A user without row and tombstone is not judged here: reconcile calls ensure for them, the steps of another actor. Where
Backboard has lost the row's assistant, it replaces it first, as a session does: another actor as well.
"""

from tests.users.model.world import Actor, Context, Departure, Moves, World, after_fault, after_lag, delete_next, failed


def read(world: World, me: Actor, context: Context) -> Moves:
    """Under the lock: row, tombstone, listing. Only what a committed fact makes unadoptable may be deleted.

    Beside a live row that is a name that no lookup finds, so a duplicate is renamed by one run and deleted by another.
    """
    has_reason = world.tries or world.renamed or Departure.RECONCILES_BY_LISTING in context.departures
    if not context.lock_is_free or not has_reason:
        return
    kept = {row.assistant for row in world.rows if row.live}
    if not (kept or world.tombstone or Departure.DELETES_UNOWNED in context.departures):
        return
    if not kept <= set(world.assistants):
        return
    surplus = tuple(each for each in world.assistants if each not in kept)
    at_once = not kept or Departure.DELETES_WITHOUT_RENAMING in context.departures
    due = surplus if at_once else tuple(each for each in surplus if each in world.renamed)
    old = context.grace_is_over or Departure.CLEARS_YOUNG_ATTEMPTS in context.departures
    reading = me._replace(in_transaction=True, read=int(old and due == surplus), chosen=due or surplus)
    step = "delete_surplus" if due or not surplus else "rename_surplus"
    read_world = world._replace(tried_since_read=False)
    yield "reads under the lock", read_world, reading._replace(step=step)
    if surplus and world.lags and not context.grace_is_over:
        unseen = reading._replace(step="delete_surplus", read=int(old), chosen=())
        yield "is not shown an assistant yet", after_lag(read_world), unseen


def delete_surplus(world: World, me: Actor, _: Context) -> Moves:
    """DELETE the surplus; a lost lock is noticed only afterwards."""
    if me.chosen:
        yield from delete_next(world, me)
    else:
        yield "has deleted the surplus", world, me._replace(step="clear_attempt")


def rename_surplus(world: World, me: Actor, _: Context) -> Moves:
    """PUT another name; a lost lock is noticed only afterwards, and a 404 is no error."""
    if not me.chosen:
        yield "has renamed the surplus", world, me._replace(step="clear_attempt")
        return
    known = me.chosen[0] in world.assistants
    renamed = world._replace(renamed=tuple(sorted({*world.renamed, me.chosen[0]}))) if known else world
    yield "renames an assistant", renamed, me._replace(chosen=me.chosen[1:])
    if world.faults:
        yield "fails to rename an assistant", after_fault(world), failed(me)


def clear_attempt(world: World, me: Actor, _: Context) -> Moves:
    """Delete the attempt row if it was old, no try was recorded since, nothing is left, and a fact stands."""
    stands = world.rows or world.tombstone
    if me.in_transaction and me.read and not world.tried_since_read and stands:
        yield "clears the attempt", world._replace(tries=0), failed(me)
    else:
        yield "leaves the attempt row", world, failed(me)


STEPS = {
    "read": read,
    "delete_surplus": delete_surplus,
    "rename_surplus": rename_surplus,
    "clear_attempt": clear_attempt,
}
