"""The search of model/: the design holds in every state, and each departure from it breaks something.

Searched: two handlers with two tries each and three with one, with up to 3 faults; and two handlers with two tries
each beside a `user.deleted` that is delivered twice and a reconcile that runs at any time, with up to 2 faults (three
handlers with one try: 1 fault). Then the same with sessions, while Backboard loses an assistant or two by itself.
A control names the invariant it breaks and the fewest faults it takes; with one fault less it must hold.
"""

from dataclasses import dataclass

import pytest

from tests.users.model.search import (
    ACKNOWLEDGED_IS_COMMITTED,
    ASSISTANT_EXISTS,
    KEPT,
    ONE_ASSISTANT,
    ONE_ROW,
    TOMBSTONE_WINS,
    Search,
)
from tests.users.model.world import Actor, Departure, deliveries

Actors = tuple[Actor, ...]

TWO_HANDLERS = (deliveries("ensure", 2), deliveries("ensure", 2))
THREE_HANDLERS = (deliveries("ensure"), deliveries("ensure"), deliveries("ensure"))
DELETION_AND_RECONCILE = (deliveries("deletion", 2), deliveries("reconcile"))
ALL_ACTORS = (*TWO_HANDLERS, *DELETION_AND_RECONCILE)
SESSIONS = (deliveries("ensure", 2), deliveries("session", 2))
RIVAL_SESSIONS = (deliveries("ensure", 2), deliveries("session"), deliveries("session"), deliveries("reconcile"))
BY_LISTING = (Departure.RECORDS_NO_ATTEMPT, Departure.LOOKS_UP_ALWAYS, Departure.RECONCILES_BY_LISTING)


@dataclass(frozen=True, slots=True)
class Control:
    """A design that must fail: the invariant it breaks, and how many faults that takes."""

    departures: tuple[Departure, ...]
    faults: int
    breaks: str
    vanishings: int = 0
    lags: int = 0

    @property
    def name(self) -> str:
        return ", ".join(self.departures)


# These break with handlers of ensure alone; no deletion is needed.
CONTROLS_OF_ENSURE = (
    Control((Departure.TRUSTS_TRIES_READ_BEFORE_LOCK,), 1, ONE_ASSISTANT),
    Control((Departure.CLEARS_ON_EVERY_SUCCESS,), 1, ONE_ASSISTANT),
    Control((Departure.CLEARS_ON_REFUSAL,), 2, ONE_ASSISTANT),
    Control((Departure.RECORDS_NO_ATTEMPT,), 1, ONE_ASSISTANT),
    Control((Departure.COMPENSATES,), 1, ASSISTANT_EXISTS),
    Control((Departure.CLEARS_WITHOUT_INSERT,), 1, ONE_ASSISTANT),
    Control((Departure.ANSWERS_2XX_TO_LOST_COMMIT,), 1, ACKNOWLEDGED_IS_COMMITTED),
    Control((Departure.RECONCILE_NEVER_RUNS,), 1, ONE_ASSISTANT),
    Control((Departure.TAKES_NO_LOCK, Departure.RECORDS_NO_ATTEMPT), 0, ONE_ASSISTANT),
    Control((Departure.TAKES_NO_LOCK, Departure.RECORDS_NO_ATTEMPT, Departure.HAS_NO_UNIQUE_INDEX), 0, ONE_ROW),
)

# These break only where a deletion or reconcile runs at the same time.
CONTROLS_OF_ALL_ACTORS = (
    Control((Departure.TAKES_NO_LOCK, *BY_LISTING), 0, TOMBSTONE_WINS),
    Control((Departure.IGNORES_TOMBSTONES,), 0, TOMBSTONE_WINS),
    Control((Departure.MARKS_DELETED_WITHOUT_LOCK,), 0, TOMBSTONE_WINS),
    Control((Departure.MARKS_DELETED_WITHOUT_ATTEMPT,), 1, ONE_ASSISTANT),
    Control((Departure.RELIES_ON_ANOTHER_TRYS_ATTEMPT,), 1, ONE_ASSISTANT),
    Control((Departure.DELETES_BEFORE_TOMBSTONE,), 0, ASSISTANT_EXISTS),
    Control((Departure.CLEARS_OLDER_ATTEMPT,), 1, ONE_ASSISTANT),
    Control((Departure.DELETES_UNOWNED,), 2, ASSISTANT_EXISTS),
    Control((Departure.CLEARS_YOUNG_ATTEMPTS,), 1, ONE_ASSISTANT),
)

# These break only where Backboard loses an assistant by itself.
CONTROLS_OF_REPLACEMENT = (
    Control((Departure.REPLACES_WITHOUT_ATTEMPT,), 1, ONE_ASSISTANT, vanishings=1),
    Control((Departure.REPLACES_WITHOUT_LOOKING_AGAIN,), 0, ONE_ASSISTANT, vanishings=1),
    Control((Departure.DELETES_WITHOUT_RENAMING,), 2, ASSISTANT_EXISTS, vanishings=1),
    Control((Departure.LEAVES_LOST_ASSISTANTS,), 0, ONE_ASSISTANT, vanishings=1),
    # This one breaks only where a listing lags.
    Control((Departure.TAKES_UNLISTED_FOR_LOST,), 0, KEPT, lags=1),
)


def controls(fewest_faults: int = 0) -> list[pytest.ParameterSet]:
    """Each control with its actors; its departures are its id."""
    of_ensure = [(control, TWO_HANDLERS) for control in CONTROLS_OF_ENSURE]
    of_all = [(control, ALL_ACTORS) for control in CONTROLS_OF_ALL_ACTORS]
    of_replacement = [(control, RIVAL_SESSIONS) for control in CONTROLS_OF_REPLACEMENT]
    return [
        pytest.param(control, actors, id=control.name)
        for control, actors in (*of_ensure, *of_all, *of_replacement)
        if control.faults >= fewest_faults
    ]


# Departures that cost something, but nothing that stays.
HARMLESS = (
    # A needless 503: the redelivery finds the row.
    (Departure.ANSWERS_503_TO_LOST_COMMIT,),
    # One call more for each sign-up.
    (Departure.LOOKS_UP_ALWAYS,),
    # The same, and reconcile reaches only as far as Backboard's listing.
    BY_LISTING,
    # The lock alone keeps one row; the index is for writers that do not take it.
    (Departure.HAS_NO_UNIQUE_INDEX,),
    # A second assistant, until reconcile.
    (Departure.TREATS_FAILED_LOOKUP_AS_EMPTY,),
)
# The same, where Backboard loses an assistant: each try whose answer is lost makes one more.
HARMLESS_REPLACEMENT = (Departure.REPLACES_WITHOUT_LOOKUP,)


@pytest.mark.parametrize(("actors", "floor"), [(TWO_HANDLERS, 3_000), (THREE_HANDLERS, 2_000)], ids=["2x2", "3x1"])
def test_ensure_keeps_every_invariant_under_any_three_faults(actors: Actors, floor: int) -> None:
    result = Search().run(*actors, faults=3)

    assert (result.broken, result.trace) == (None, ())
    assert floor <= result.states


@pytest.mark.parametrize(
    ("handlers", "faults", "floor"),
    [(TWO_HANDLERS, 2, 150_000), (THREE_HANDLERS, 1, 50_000)],
    ids=["2x2", "3x1"],
)
def test_ensure_keeps_every_invariant_beside_deletion_and_reconcile(handlers: Actors, faults: int, floor: int) -> None:
    result = Search().run(*handlers, *DELETION_AND_RECONCILE, faults=faults)

    assert (result.broken, result.trace) == (None, ())
    assert floor <= result.states


@pytest.mark.parametrize(
    ("actors", "faults", "vanishings", "floor"),
    [
        ((*SESSIONS, *DELETION_AND_RECONCILE), 2, 1, 40_000),
        ((*SESSIONS, deliveries("deletion"), deliveries("reconcile", 2)), 1, 2, 12_000),
        ((*SESSIONS, deliveries("reconcile", 2)), 3, 1, 7_000),
        (RIVAL_SESSIONS, 2, 1, 3_000),
    ],
    ids=["with deletion", "two vanish", "three faults", "rivals"],
)
def test_a_lost_assistant_is_replaced_by_the_next_session_or_by_reconcile(
    actors: Actors, faults: int, vanishings: int, floor: int
) -> None:
    """At any moment, and beside anything else; no assistant that a row names is ever deleted by us."""
    result = Search().run(*actors, faults=faults, vanishings=vanishings)

    assert (result.broken, result.trace) == (None, ())
    assert floor <= result.states


@pytest.mark.parametrize(
    ("actors", "vanishings", "lags", "floor"),
    [
        (TWO_HANDLERS, 0, 2, 2_000),
        ((deliveries("ensure", 2), *DELETION_AND_RECONCILE), 0, 2, 17_000),
        (RIVAL_SESSIONS, 1, 1, 5_000),
    ],
    ids=["2x2", "with deletion", "rivals"],
)
def test_a_listing_that_lags_costs_a_second_assistant_until_reconcile(
    actors: Actors, vanishings: int, lags: int, floor: int
) -> None:
    """Any one or two of them may leave out what is there; a living assistant stays the user's."""
    result = Search().run(*actors, faults=2, vanishings=vanishings, lags=lags)

    assert (result.broken, result.trace) == (None, ())
    assert floor <= result.states


@pytest.mark.parametrize(("control", "actors"), controls())
def test_a_departure_from_the_design_breaks_an_invariant(control: Control, actors: Actors) -> None:
    """Each rule of the design is needed: without it, the search finds what breaks."""
    search = Search(frozenset(control.departures))
    result = search.run(*actors, faults=control.faults, vanishings=control.vanishings, lags=control.lags)

    assert control.breaks == result.broken
    assert result.trace


@pytest.mark.parametrize(("control", "actors"), controls(fewest_faults=1))
def test_a_departure_breaks_nothing_with_one_fault_less(control: Control, actors: Actors) -> None:
    """The number of faults that a control names is the fewest."""
    search = Search(frozenset(control.departures))
    result = search.run(*actors, faults=control.faults - 1, vanishings=control.vanishings, lags=control.lags)

    assert result.broken is None


@pytest.mark.parametrize("departures", HARMLESS, ids=", ".join)
def test_a_harmless_departure_breaks_nothing(departures: tuple[Departure, ...]) -> None:
    """Some rules save calls, answers or temporary duplicates; safety does not depend on them."""
    result = Search(frozenset(departures)).run(*ALL_ACTORS, faults=1)

    assert (result.broken, result.trace) == (None, ())
    assert result.states >= 8_000


def test_replacing_without_asking_by_name_costs_assistants_and_breaks_nothing() -> None:
    result = Search(frozenset(HARMLESS_REPLACEMENT)).run(*RIVAL_SESSIONS, faults=2, vanishings=1)

    assert (result.broken, result.trace) == (None, ())


def test_every_departure_is_tried() -> None:
    controls = CONTROLS_OF_ENSURE + CONTROLS_OF_ALL_ACTORS + CONTROLS_OF_REPLACEMENT
    tried = {departure for control in controls for departure in control.departures}

    assert set(Departure) == tried.union(*HARMLESS, HARMLESS_REPLACEMENT)


def test_a_reconcile_that_does_not_rename_first_deletes_an_assistant_that_a_session_adopted() -> None:
    """It has lost its lock without noticing, and the fact that it judged by was gone with the row's own assistant."""
    departure = frozenset({Departure.DELETES_WITHOUT_RENAMING})
    result = Search(departure).run(*RIVAL_SESSIONS, faults=2, vanishings=1)

    assert result.trace[-9:] == (
        "reconcile 4: reads under the lock",
        "Backboard loses an assistant",
        "reconcile 4: loses its connection",
        "session 2: finds the assistant missing",
        "session 2: records the attempt",
        "session 2: takes the lock",
        "session 2: adopts an assistant",
        "reconcile 4: deletes an assistant",
        "session 2: commits",
    )


def test_deleting_the_assistant_after_a_refused_commit_deletes_one_that_a_rival_adopted() -> None:
    result = Search(frozenset({Departure.COMPENSATES})).run(*TWO_HANDLERS, faults=1)

    assert result.trace == (
        "ensure 1: finds no row or tombstone",
        "ensure 2: finds no row or tombstone",
        "ensure 1: records the attempt",
        "ensure 1: takes the lock",
        "ensure 1: creates an assistant",
        "ensure 1: has its COMMIT refused",
        "ensure 2: records the attempt",
        "ensure 2: takes the lock",
        "ensure 2: adopts an assistant",
        "ensure 1: deletes an assistant",
        "ensure 2: commits",
    )


def test_a_deletion_that_relies_on_the_attempt_row_of_another_try_is_forgotten() -> None:
    """The other try clears the only attempt row, and the unfinished deletion with it."""
    result = Search(frozenset({Departure.RELIES_ON_ANOTHER_TRYS_ATTEMPT})).run(*ALL_ACTORS, faults=1)

    assert result.trace == (
        "ensure 1: finds no row or tombstone",
        "ensure 2: finds no row or tombstone",
        "ensure 1: records the attempt",
        "ensure 1: takes the lock",
        "ensure 1: creates an assistant",
        "ensure 1: commits",
        "ensure 2: records the attempt",
        "deletion 3: marks the user deleted, answer lost",
        "ensure 2: finishes without insert",
    )
