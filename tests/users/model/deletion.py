"""`user.deleted`, step by step: the tombstone is committed before anything is deleted at Backboard."""

from tests.users.model.world import (
    SEVERAL,
    Actor,
    Around,
    Design,
    Moves,
    World,
    Wrong,
    acknowledged,
    delete_next,
    failed,
    hurt,
    without,
)


def mark_deleted(world: World, me: Actor, around: Around) -> Moves:
    """Lock; tombstone, emptied row and, where a row was there and none yet, an attempt row; COMMIT."""
    if not around.lock_is_free and Wrong.BURIES_WITHOUT_LOCK not in around.wrong:
        yield "waits for the lock in vain", world, failed(me)
        return
    own = tuple(row.assistant for row in world.rows)
    if Wrong.DELETES_BEFORE_BURYING in around.wrong and set(own) & set(world.assistants):
        yield "deletes an assistant", without(world, own[0]), me
        return
    buried = world._replace(
        rows=tuple(row._replace(live=False) for row in world.rows),
        tombstone=True,
        tries=tries_after_burying(world, around.wrong),
    )
    yield "buries the user", buried, me._replace(step="delete own", saw=world.tries, hand=own)
    if world.faults:
        yield "is refused the COMMIT", hurt(world), failed(me)
        yield "buries the user, answer lost", hurt(buried), failed(me)


def delete_own(world: World, me: Actor, _: Around) -> Moves:
    """DELETE the row's assistant by its id; then, where an attempt row stood before, see what else there is."""
    if me.hand:
        yield from delete_next(world, me)
    else:
        yield "is done with the row's", world, me._replace(step="list" if me.saw else "finish")


def list_named(world: World, me: Actor, _: Around) -> Moves:
    """GET every exact match of the name."""
    yield "lists by name", world, me._replace(step="delete named", hand=world.assistants)
    if world.faults:
        yield "fails to look for assistants", hurt(world), failed(me)


def delete_named(world: World, me: Actor, _: Around) -> Moves:
    """DELETE each of them."""
    if me.hand:
        yield from delete_next(world, me)
    else:
        yield "is done with the named", world, me._replace(step="finish")


def finish(world: World, me: Actor, around: Around) -> Moves:
    """The attempt row that this delivery made goes if tries is still 1; any other waits for reconcile."""
    goes = Wrong.DROPS_OLDER_NOTE in around.wrong if me.saw else world.tries == 1
    settled = world._replace(tries=0) if goes else world
    yield "settles and answers", settled, acknowledged(me)
    if world.faults:
        yield "settles, answer lost", hurt(settled), failed(me)


def tries_after_burying(world: World, wrong: Design) -> int:
    """Count the deletion as a try where a row was there: whoever leaves with a note of its own keeps ours."""
    if not world.rows or Wrong.BURIES_WITHOUT_NOTE in wrong:
        return world.tries
    if world.tries and Wrong.BURIES_ON_ANOTHERS_NOTE in wrong:
        return world.tries
    return min(world.tries + 1, SEVERAL)


STEPS = {
    "mark_deleted": mark_deleted,
    "delete own": delete_own,
    "list": list_named,
    "delete named": delete_named,
    "finish": finish,
}
