"""A search of everything that can happen to one user, to show why each rule of provisioning is there.

Actors take steps in every possible order, and up to a number of faults strike anywhere: a kill, a connection lost with
its lock, a refusal by Backboard, a lost answer, a create that is processed late, a failed lookup, a failed delete, a
COMMIT refused, applied or lost without an answer. Assistants may vanish from Backboard by themselves, and a listing may
leave out one that is there, for less than reconcile's grace period; asked for by its id it is there. A handler that
times out waiting for the lock costs no fault. The invariants must hold in each state. In each state without a running
actor and without a create in flight, reconcile and the next delivery are played as well, and the next session, without
faults, since nothing else may ever happen to the user.

Equal actors are interchangeable, and assistants have no names: they are numbered by age.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.users.model import deletion, provisioning, reconcile, replacement
from tests.users.model.world import (
    ACKNOWLEDGED,
    AT_REST,
    NEW_ASSISTANT,
    Actor,
    Context,
    Departure,
    Design,
    Move,
    World,
    accidents,
    deliveries,
    vanish,
)

AS_DESIGNED: Design = frozenset()

ONE_ROW = "at most one row"
ASSISTANT_EXISTS = "the assistant of a live row exists, or Backboard has lost it by itself"
TOMBSTONE_WINS = "no live row stands beside a tombstone"
ACKNOWLEDGED_IS_COMMITTED = "what is acknowledged is committed"
ONE_ASSISTANT = "after reconcile, one assistant for a live row and none besides"
KEPT = "no assistant that is there is replaced"
NEXT_SUCCEEDS = "the next delivery succeeds"
NEXT_SESSION_SUCCEEDS = "the next session finds or gets an assistant"

STEPS = {**provisioning.STEPS, **deletion.STEPS, **replacement.STEPS, **reconcile.STEPS}


class State(NamedTuple):
    """The world and all actors."""

    world: World
    actors: tuple[Actor, ...]


# The broken invariant, if there is one, and the steps behind the state that showed it.
Verdict = tuple[str | None, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """How many states were searched, and the shortest way to a broken invariant, if there is one."""

    states: int
    broken: str | None
    trace: tuple[str, ...]


class Search:
    """Breadth first, so that the first trace found is a shortest one."""

    def __init__(self, departures: Design = AS_DESIGNED) -> None:
        self._departures = departures
        self._moves: dict[tuple[World, Actor, bool, bool], list[Move]] = {}
        self._verdicts_at_rest: dict[World, Verdict] = {}

    def run(self, *actors: Actor, faults: int, vanishings: int = 0, lags: int = 0) -> SearchResult:
        start = State(World(faults=faults, vanishings=vanishings, lags=lags), actors)
        parents: dict[State, State | None] = {start: None}
        queue = deque([start])
        while queue:
            state = queue.popleft()
            broken, steps = self._check(state)
            if broken:
                return SearchResult(len(parents), broken, self._trace(state, parents) + steps)
            for _, after in self._successors(state):
                known = State(after.world, tuple(sorted(after.actors)))
                if known not in parents:
                    parents[known] = state
                    queue.append(known)
        return SearchResult(len(parents), None, ())

    def _successors(self, state: State) -> Iterator[tuple[str, State]]:
        """Every next step of every actor; `state` may be in any order of actors."""
        world, actors = state
        if world.late_creates:
            processed = world._replace(
                late_creates=world.late_creates - 1, assistants=(*world.assistants, NEW_ASSISTANT)
            )
            yield "Backboard processes a late create", renumbered(State(processed, actors))
        for assistant in world.assistants if world.vanishings else ():
            yield "Backboard loses an assistant", renumbered(State(vanish(world, assistant), actors))
        for index, actor in enumerate(actors):
            earlier, later = actors[:index], actors[index + 1 :]
            if actor in earlier:
                continue
            for label, after, moved in self._moves_of(world, actor, earlier + later):
                numbered = f"{actor.kind} {index + 1}: {label}"
                yield numbered, renumbered(State(after, (*earlier, moved, *later)))

    def _moves_of(self, world: World, actor: Actor, others: tuple[Actor, ...]) -> list[Move]:
        takes_no_lock = Departure.TAKES_NO_LOCK in self._departures
        lock_is_free = takes_no_lock or not any(each.in_transaction for each in others)
        grace_is_over = not world.late_creates and all(each.step in AT_REST for each in others)
        key = (world, actor, lock_is_free, grace_is_over)
        moves = self._moves.get(key)
        if moves is None:
            context = Context(self._departures, lock_is_free, grace_is_over)
            moves = [*accidents(world, actor)]
            if actor.step in STEPS:
                moves += STEPS[actor.step](world, actor, context)
            self._moves[key] = moves
        return moves

    def _check(self, state: State) -> Verdict:
        """Name the invariant that does not hold, and the steps after `state` that it took to see it."""
        world, actors = state
        broken = broken_in_world(world)
        if not broken and any(is_acknowledged_too_early(world, actor) for actor in actors):
            broken = ACKNOWLEDGED_IS_COMMITTED
        if not broken and any(replaces_what_is_there(world, actor) for actor in actors):
            broken = KEPT
        if not broken and not world.late_creates and all(actor.step in AT_REST for actor in actors):
            return self._check_at_rest(world._replace(faults=0, vanishings=0, lags=0))
        return broken, ()

    def _check_at_rest(self, world: World) -> Verdict:
        """Run reconcile, then deliver once more, without other actors and without faults."""
        if world not in self._verdicts_at_rest:
            steps: list[str] = []
            broken = self._check_next_session(world)
            reconciled = self._reconcile(world, steps)
            broken = broken or broken_after_reconcile(reconciled)
            if not broken:
                delivered, sender = self._run_alone(reconciled, deliveries("ensure"), steps)
                broken = NEXT_SUCCEEDS if sender.step != ACKNOWLEDGED else None
                broken = broken or broken_after_reconcile(self._reconcile(delivered, steps))
            self._verdicts_at_rest[world] = broken, tuple(steps)
        return self._verdicts_at_rest[world]

    def _check_next_session(self, world: World) -> str | None:
        """Open a session, before reconcile has run: a row keeps no lost assistant."""
        after, _ = self._run_alone(world, deliveries("session"), [])
        return None if replacement.lost_assistant(after) is None else NEXT_SESSION_SUCCEEDS

    def _reconcile(self, world: World, steps: list[str]) -> World:
        """Run until nothing changes: one run renames, another deletes."""
        while (after := self._reconcile_once(world, steps)) != world:
            world = after
        return world

    def _reconcile_once(self, world: World, steps: list[str]) -> World:
        if Departure.RECONCILE_NEVER_RUNS in self._departures:
            return world
        found = world.assistants if Departure.RECONCILES_BY_LISTING in self._departures else world.tries
        if found and not world.rows and not world.tombstone:
            world, _ = self._run_alone(world, deliveries("ensure"), steps)
        if Departure.LEAVES_LOST_ASSISTANTS not in self._departures:
            world, _ = self._run_alone(world, deliveries("session"), steps)
        return self._run_alone(world, deliveries("reconcile"), steps)[0]

    def _run_alone(self, world: World, actor: Actor, steps: list[str]) -> tuple[World, Actor]:
        """Without faults and other actors, each step has one outcome."""
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
    known = {row.assistant for row in world.rows}
    for actor in actors:
        known.update(actor.chosen)
    if world.vanished and not set(world.vanished) <= known:
        world = world._replace(vanished=tuple(each for each in world.vanished if each in known))
        state = State(world, actors)
    known.update(world.assistants)
    if not known or max(known) == len(known) - 1:
        return state
    number: Callable[[int], int] = {old: new for new, old in enumerate(sorted(known))}.__getitem__
    return State(
        world._replace(
            assistants=tuple(map(number, world.assistants)),
            renamed=tuple(map(number, world.renamed)),
            vanished=tuple(map(number, world.vanished)),
            rows=tuple(row._replace(assistant=number(row.assistant)) for row in world.rows),
        ),
        tuple(actor._replace(chosen=tuple(map(number, actor.chosen))) if actor.chosen else actor for actor in actors),
    )


def broken_in_world(world: World) -> str | None:
    """Name the invariant that must hold at any moment and does not."""
    live = [row.assistant for row in world.rows if row.live]
    if len(world.rows) > 1:
        return ONE_ROW
    if live and world.tombstone:
        return TOMBSTONE_WINS
    if not set(live) <= {*world.assistants, *world.vanished}:
        return ASSISTANT_EXISTS
    return None


def is_acknowledged_too_early(world: World, actor: Actor) -> bool:
    """Whether a 2xx was answered for what is not committed."""
    if actor.step != ACKNOWLEDGED:
        return False
    return not (world.tombstone or (world.rows and actor.kind != "deletion"))


def replaces_what_is_there(world: World, actor: Actor) -> bool:
    """Whether the row, and with it the user's threads and memories, is about to be taken from a living assistant."""
    if actor.step != "update" or not actor.in_transaction:
        return False
    return actor.chosen[0] in world.assistants and any(row.assistant == actor.chosen[0] for row in world.rows)


def broken_after_reconcile(world: World) -> str | None:
    """Compare Backboard's assistants with the live rows; exact, since the faults are over."""
    live = tuple(row.assistant for row in world.rows if row.live)
    return broken_in_world(world) or (None if world.assistants == live else ONE_ASSISTANT)
