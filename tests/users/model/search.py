"""A search of everything that can happen to one user, to show why each rule of provisioning is there.

Actors take steps in every possible order, and up to a number of faults strike anywhere: a kill, a connection
lost with its lock, a refusal by Backboard, a lost answer, a create that is processed late, a failed lookup, a
failed delete, a COMMIT refused, applied or lost without an answer. A handler that waits for the lock in vain
costs no fault. In each state the invariants must hold; wherever nobody is at work, no create is late and the
faults have stopped, reconcile and the next delivery are played as well, since nobody may ever come again.

Equal actors are interchangeable, and assistants have no names: they are numbered by age.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.users.model import deletion, ensure, reconcile
from tests.users.model.world import (
    ACKNOWLEDGED,
    NEWBORN,
    RESTING,
    Actor,
    Around,
    Design,
    Move,
    World,
    Wrong,
    accidents,
    deliveries,
)

AS_DESIGNED: Design = frozenset()

ONE_ROW = "at most one row"
ASSISTANT_EXISTS = "the assistant of a live row exists"
TOMBSTONE_WINS = "no live row stands beside a tombstone"
ACKNOWLEDGED_IS_COMMITTED = "what is acknowledged is committed"
ONE_ASSISTANT = "after reconcile, one assistant for a live row and none besides"
NEXT_SUCCEEDS = "the next delivery succeeds"

STEPS = {**ensure.STEPS, **deletion.STEPS, **reconcile.STEPS}


class State(NamedTuple):
    """The world, and everybody in it."""

    world: World
    actors: tuple[Actor, ...]


# The invariant that breaks once nobody is at work any more, if one does, and the steps that show it.
Healing = tuple[str | None, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Found:
    """How many states were searched, and the shortest way to a broken invariant, if there is one."""

    states: int
    broken: str | None
    trace: tuple[str, ...]


class Search:
    """Breadth first, so that the first trace found is a shortest one."""

    def __init__(self, wrong: Design = AS_DESIGNED) -> None:
        self._wrong = wrong
        self._moves: dict[tuple[World, Actor, bool, bool], list[Move]] = {}
        self._healings: dict[World, Healing] = {}

    def run(self, *actors: Actor, faults: int) -> Found:
        start = State(World(faults=faults), actors)
        parents: dict[State, State | None] = {start: None}
        queue = deque([start])
        while queue:
            state = queue.popleft()
            broken, steps = self._broken_in(state)
            if broken:
                return Found(len(parents), broken, self._trace(state, parents) + steps)
            for _, after in self._successors(state):
                known = State(after.world, tuple(sorted(after.actors)))
                if known not in parents:
                    parents[known] = state
                    queue.append(known)
        return Found(len(parents), None, ())

    def _successors(self, state: State) -> Iterator[tuple[str, State]]:
        """Every next step of everybody; `state` may be in any order of actors."""
        world, actors = state
        if world.late:
            landed = world._replace(late=world.late - 1, assistants=(*world.assistants, NEWBORN))
            yield "Backboard processes a late create", renumbered(State(landed, actors))
        for place, actor in enumerate(actors):
            earlier, later = actors[:place], actors[place + 1 :]
            if actor in earlier:
                continue
            for label, after, moved in self._moves_of(world, actor, earlier + later):
                numbered = f"{actor.kind} {place + 1}: {label}"
                yield numbered, renumbered(State(after, (*earlier, moved, *later)))

    def _moves_of(self, world: World, actor: Actor, others: tuple[Actor, ...]) -> list[Move]:
        lock_is_free = Wrong.TAKES_NO_LOCK in self._wrong or not any(each.connected for each in others)
        all_is_old = not world.late and all(each.step in RESTING for each in others)
        key = (world, actor, lock_is_free, all_is_old)
        moves = self._moves.get(key)
        if moves is None:
            around = Around(self._wrong, lock_is_free, all_is_old)
            moves = [*accidents(world, actor)]
            if actor.step in STEPS:
                moves += STEPS[actor.step](world, actor, around)
            self._moves[key] = moves
        return moves

    def _broken_in(self, state: State) -> Healing:
        """Name the invariant that does not hold, and the steps after `state` that it took to see it."""
        world, actors = state
        broken = broken_in_world(world)
        if not broken and any(untrue_acknowledgement(world, actor) for actor in actors):
            broken = ACKNOWLEDGED_IS_COMMITTED
        if not broken and not world.late and all(actor.step in RESTING for actor in actors):
            return self._heal(world._replace(faults=0))
        return broken, ()

    def _heal(self, world: World) -> Healing:
        """Let reconcile look, then deliver once more, with nobody else about and without faults."""
        if world not in self._healings:
            steps: list[str] = []
            reconciled = self._reconcile(world, steps)
            broken = uneven(reconciled)
            if not broken:
                delivered, sender = self._alone(reconciled, deliveries("ensure"), steps)
                broken = NEXT_SUCCEEDS if sender.step != ACKNOWLEDGED else None
                broken = broken or uneven(self._reconcile(delivered, steps))
            self._healings[world] = broken, tuple(steps)
        return self._healings[world]

    def _reconcile(self, world: World, steps: list[str]) -> World:
        if Wrong.RECONCILE_NEVER_RUNS in self._wrong:
            return world
        seen = world.assistants if Wrong.RECONCILES_BY_LISTING in self._wrong else world.tries
        if seen and not world.rows and not world.tombstone:
            world, _ = self._alone(world, deliveries("ensure"), steps)
        return self._alone(world, deliveries("reconcile"), steps)[0]

    def _alone(self, world: World, actor: Actor, steps: list[str]) -> tuple[World, Actor]:
        """Without faults and rivals there is one way to go at each step."""
        while moves := self._moves_of(world, actor, ()):
            ((label, after, moved),) = moves
            steps.append(f"at last, {actor.kind}: {label}")
            world, (actor,) = renumbered(State(after, (moved,)))
        return world, actor

    def _trace(self, state: State | None, parents: dict[State, State | None]) -> tuple[str, ...]:
        """Walk the way to `state` again without sorting the actors, so that each keeps its number."""
        path = []
        while state:
            path.append(state)
            state = parents[state]
        here, labels = path.pop(), []
        while path:
            wanted = path.pop()
            for label, after in self._successors(here):
                if (after.world, tuple(sorted(after.actors))) == wanted:
                    here = after
                    labels.append(label)
                    break
        return tuple(labels)


def renumbered(state: State) -> State:
    """Number the assistants anew from 0 by age, so that states that differ in numbers only are one."""
    world, actors = state
    known = {*world.assistants, *(row.assistant for row in world.rows)}
    for actor in actors:
        known.update(actor.hand)
    if not known or max(known) == len(known) - 1:
        return state
    number: Callable[[int], int] = {old: new for new, old in enumerate(sorted(known))}.__getitem__
    return State(
        world._replace(
            assistants=tuple(map(number, world.assistants)),
            rows=tuple(row._replace(assistant=number(row.assistant)) for row in world.rows),
        ),
        tuple(actor._replace(hand=tuple(map(number, actor.hand))) if actor.hand else actor for actor in actors),
    )


def broken_in_world(world: World) -> str | None:
    """Name the invariant that does not hold in this very moment."""
    live = [row.assistant for row in world.rows if row.live]
    if len(world.rows) > 1:
        return ONE_ROW
    if live and world.tombstone:
        return TOMBSTONE_WINS
    if not set(live) <= set(world.assistants):
        return ASSISTANT_EXISTS
    return None


def untrue_acknowledgement(world: World, actor: Actor) -> bool:
    """Whether a 2xx was answered for what is not committed."""
    if actor.step != ACKNOWLEDGED:
        return False
    return not (world.tombstone or (world.rows and actor.kind == "ensure"))


def uneven(world: World) -> str | None:
    """Compare Backboard's assistants with the live rows; exact, since the faults are over."""
    live = tuple(row.assistant for row in world.rows if row.live)
    return broken_in_world(world) or (None if world.assistants == live else ONE_ASSISTANT)
