"""Making sure of a user, step by step as in app/provisioning.py, with all that can go wrong at each."""

from tests.users.model.world import (
    NEWBORN,
    SEVERAL,
    Actor,
    Around,
    Design,
    Moves,
    Row,
    World,
    Wrong,
    acknowledged,
    delete_next,
    failed,
    hurt,
)


def look(world: World, me: Actor, around: Around) -> Moves:
    """0  A row, a tombstone? Without a lock."""
    if is_known(world, around.wrong):
        yield "finds row or tombstone", world, acknowledged(me)
    else:
        yield "finds nothing", world, me._replace(step="note")


def note(world: World, me: Actor, around: Around) -> Moves:
    """1  Note the try, committed by itself."""
    if Wrong.NOTES_NOTHING in around.wrong:
        yield "notes nothing", world, me._replace(step="lock", saw=1)
        return
    tries = min(world.tries + 1, SEVERAL)
    yield "notes the try", world._replace(tries=tries, noted=True), me._replace(step="lock", saw=tries)


def lock(world: World, me: Actor, around: Around) -> Moves:
    """2  BEGIN, the lock; then row, tombstone and tries again."""
    if not around.lock_is_free:
        yield "waits for the lock in vain", world, failed(me)
    elif is_known(world, around.wrong):
        yield from commit("leaves", world, settled_on_leaving(world, around.wrong), me, around)
    elif not world.tries and Wrong.NOTES_NOTHING not in around.wrong:
        yield "finds its note gone", world, failed(me)
    else:
        tries = me.saw if keeps_what_it_saw(around.wrong) else world.tries
        asks = tries > 1 or Wrong.LOOKS_UP_ALWAYS in around.wrong
        step = "ask" if asks else "create"
        yield "takes the lock", world, me._replace(step=step, connected=True, saw=tries)


def ask(world: World, me: Actor, around: Around) -> Moves:
    """3  tries > 1: look for the name; adopt the oldest."""
    absent = me._replace(step="create")
    if world.assistants:
        yield "adopts an assistant", world, me._replace(step="insert", hand=world.assistants[:1])
    else:
        yield "finds no assistant", world, absent
    if world.faults:
        taken_for_absent = Wrong.TAKES_FAILED_LOOKUP_FOR_ABSENT in around.wrong
        yield "fails to look for assistants", hurt(world), absent if taken_for_absent else failed(me)


def create(world: World, me: Actor, around: Around) -> Moves:
    """3  tries = 1, or none matched: create."""
    created = world._replace(assistants=(*world.assistants, NEWBORN))
    yield "creates an assistant", created, me._replace(step="insert", hand=(NEWBORN,))
    if world.faults:
        forgets = Wrong.FORGETS_ON_REFUSAL in around.wrong
        refused = world._replace(tries=0) if forgets else world
        yield "is refused by Backboard", hurt(refused), failed(me)
        yield "creates an assistant, answer lost", hurt(created), failed(me)
        yield "gives up on a create", hurt(world._replace(late=world.late + 1)), failed(me)


def insert(world: World, me: Actor, around: Around) -> Moves:
    """4, 5  INSERT, settle the attempt, COMMIT: all or nothing, and nothing without the connection."""
    taken = bool(world.rows) and Wrong.HAS_NO_UNIQUE_INDEX not in around.wrong
    if taken or not me.connected:
        yield "cannot insert", world, rolled_back(me, around.wrong)
        return
    inserted = world._replace(rows=(*world.rows, Row(me.hand[0])))
    yield from commit("commits", world, settled_on_success(inserted, me, around.wrong), me, around)


def fence(world: World, me: Actor, around: Around) -> Moves:
    """COMMIT without an answer: the same lock on a fresh connection, then look."""
    if not around.lock_is_free:
        yield "waits for the lock in vain", world, failed(me)
    elif is_known(world, around.wrong):
        yield "finds that it was committed", world, acknowledged(me)
    else:
        yield "finds that it was not committed", world, failed(me)


def compensate(world: World, me: Actor, _: Around) -> Moves:
    """Nothing the design does: delete what was made, because its row was not committed."""
    if me.hand:
        yield from delete_next(world, me)
    else:
        yield "answers 503", world, failed(me)


STEPS = {
    "look": look,
    "note": note,
    "lock": lock,
    "ask": ask,
    "create": create,
    "insert": insert,
    "fence": fence,
    "compensate": compensate,
}


def commit(label: str, world: World, committed: World, me: Actor, around: Around) -> Moves:
    """COMMIT holds the lock until it is decided; only its answer can be lost."""
    yield label, committed, acknowledged(me)
    if world.faults:
        unknown = me._replace(step="fence", connected=False, saw=0, hand=())
        if Wrong.ANSWERS_503_TO_UNKNOWN_COMMIT in around.wrong:
            unknown = failed(me)
        elif Wrong.ANSWERS_2XX_TO_UNKNOWN_COMMIT in around.wrong:
            unknown = acknowledged(me)
        yield "is refused the COMMIT", hurt(world), rolled_back(me, around.wrong)
        yield f"{label}, answer lost", hurt(committed), unknown
        yield "loses its COMMIT and the answer", hurt(world), unknown


def rolled_back(me: Actor, wrong: Design) -> Actor:
    if Wrong.COMPENSATES in wrong and me.hand:
        return me._replace(step="compensate", connected=False)
    return failed(me)


def is_known(world: World, wrong: Design) -> bool:
    return bool(world.rows) or (world.tombstone and Wrong.IGNORES_TOMBSTONES not in wrong)


def keeps_what_it_saw(wrong: Design) -> bool:
    """Whether step 1 decides who is first, instead of step 2."""
    return bool(wrong & {Wrong.FIRST_IS_WHO_NOTED_FIRST, Wrong.NOTES_NOTHING})


def settled_on_success(world: World, me: Actor, wrong: Design) -> World:
    """Delete the attempt row where tries is still 1; where it is more, a second assistant may exist."""
    tries = me.saw if Wrong.FIRST_IS_WHO_NOTED_FIRST in wrong else world.tries
    return world._replace(tries=0) if tries == 1 or Wrong.FORGETS_ON_SUCCESS in wrong else world


def settled_on_leaving(world: World, wrong: Design) -> World:
    return world._replace(tries=0) if world.tries == 1 or Wrong.FORGETS_ON_LEAVING in wrong else world
