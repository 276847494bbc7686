"""Reconcile for one user that has an attempt row. It may die like any actor; it reads and deletes in separate steps.

A user without row and tombstone is not judged here: reconcile calls ensure for them, the steps of another actor.
"""

from tests.users.model.world import Actor, Context, Departure, Moves, World, delete_next, failed


def read(world: World, me: Actor, context: Context) -> Moves:
    """Under the lock: row, tombstone, listing. Only what a committed fact makes unadoptable may be deleted."""
    has_reason = world.tries or Departure.RECONCILES_BY_LISTING in context.departures
    if not context.lock_is_free or not has_reason:
        return
    kept = {row.assistant for row in world.rows if row.live}
    if not (kept or world.tombstone or Departure.DELETES_UNOWNED in context.departures):
        return
    if not kept <= set(world.assistants):
        return
    old = context.grace_is_over or Departure.CLEARS_YOUNG_ATTEMPTS in context.departures
    surplus = tuple(each for each in world.assistants if each not in kept)
    reading = me._replace(step="delete_surplus", in_transaction=True, read=int(old), chosen=surplus)
    yield "reads under the lock", world._replace(tried_since_read=False), reading


def delete_surplus(world: World, me: Actor, _: Context) -> Moves:
    """DELETE the surplus; a lost lock is noticed only afterwards."""
    if me.chosen:
        yield from delete_next(world, me)
    else:
        yield "has deleted the surplus", world, me._replace(step="clear_attempt")


def clear_attempt(world: World, me: Actor, _: Context) -> Moves:
    """Delete the attempt row if it was old, no try was recorded since, and a row or tombstone stands."""
    stands = world.rows or world.tombstone
    if me.in_transaction and me.read and not world.tried_since_read and stands:
        yield "clears the attempt", world._replace(tries=0), failed(me)
    else:
        yield "leaves the attempt row", world, failed(me)


STEPS = {"read": read, "delete_surplus": delete_surplus, "clear_attempt": clear_attempt}
