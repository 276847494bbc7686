"""Reconcile for one user that has an attempt row: mortal like everybody, its reading and its deleting two steps.

A user without row and tombstone is not reconcile's to judge: it calls ensure, whose steps are another actor's.
"""

from tests.users.model.world import Actor, Around, Moves, World, Wrong, delete_next, failed


def read(world: World, me: Actor, around: Around) -> Moves:
    """Under the lock: row, tombstone, listing. Only what a committed fact makes unadoptable may be deleted."""
    if not around.lock_is_free or not (world.tries or Wrong.RECONCILES_BY_LISTING in around.wrong):
        return
    kept = {row.assistant for row in world.rows if row.live}
    if not (kept or world.tombstone or Wrong.DELETES_THE_UNCLAIMED in around.wrong):
        return
    if not kept <= set(world.assistants):
        return
    old = around.all_is_old or Wrong.CLEARS_YOUNG_NOTES in around.wrong
    surplus = tuple(each for each in world.assistants if each not in kept)
    reading = me._replace(step="remove", connected=True, saw=int(old), hand=surplus)
    yield "reads under the lock", world._replace(noted=False), reading


def remove(world: World, me: Actor, _: Around) -> Moves:
    """DELETE what was found; a lost lock is noticed only afterwards."""
    if me.hand:
        yield from delete_next(world, me)
    else:
        yield "is done with deleting", world, me._replace(step="clear")


def clear(world: World, me: Actor, _: Around) -> Moves:
    """Delete the attempt row if it was old, nobody noted a try since, and row or tombstone stands."""
    decided = world.rows or world.tombstone
    if me.connected and me.saw and not world.noted and decided:
        yield "clears the attempt row", world._replace(tries=0), failed(me)
    else:
        yield "leaves the attempt row", world, failed(me)


STEPS = {"read": read, "remove": remove, "clear": clear}
