"""The search of model.py: the design holds in every state, and each departure from it breaks something.

Searched: two handlers with two tries each and three with one, with up to 3 faults; and two handlers with two tries
each beside a `user.deleted` that is delivered twice and a reconcile that runs at any time, with up to 2 faults (three
handlers with one try: 1 fault).
A control names the invariant it breaks and the fewest faults it takes; with one fault less it must hold.
"""

from dataclasses import dataclass

import pytest

from tests.users.model.search import (
    ACKNOWLEDGED_IS_COMMITTED,
    ASSISTANT_EXISTS,
    ONE_ASSISTANT,
    ONE_ROW,
    TOMBSTONE_WINS,
    Search,
)
from tests.users.model.world import Actor, Wrong, deliveries

Actors = tuple[Actor, ...]

TWO_HANDLERS = (deliveries("ensure", 2), deliveries("ensure", 2))
THREE_HANDLERS = (deliveries("ensure"), deliveries("ensure"), deliveries("ensure"))
BESIDE_THEM = (deliveries("deletion", 2), deliveries("reconcile"))
EVERYBODY = (*TWO_HANDLERS, *BESIDE_THEM)
BY_LISTING = (Wrong.NOTES_NOTHING, Wrong.LOOKS_UP_ALWAYS, Wrong.RECONCILES_BY_LISTING)


@dataclass(frozen=True, slots=True)
class Control:
    """A design that must fail: what it breaks, and how many faults that takes."""

    wrong: tuple[Wrong, ...]
    faults: int
    breaks: str

    @property
    def name(self) -> str:
        return ", ".join(self.wrong)


# These break among handlers that make sure of the user; no deletion is needed.
CONTROLS_OF_ENSURE = (
    Control((Wrong.FIRST_IS_WHO_NOTED_FIRST,), 1, ONE_ASSISTANT),
    Control((Wrong.FORGETS_ON_SUCCESS,), 1, ONE_ASSISTANT),
    Control((Wrong.FORGETS_ON_REFUSAL,), 2, ONE_ASSISTANT),
    Control((Wrong.NOTES_NOTHING,), 1, ONE_ASSISTANT),
    Control((Wrong.COMPENSATES,), 1, ASSISTANT_EXISTS),
    Control((Wrong.FORGETS_ON_LEAVING,), 1, ONE_ASSISTANT),
    Control((Wrong.ANSWERS_2XX_TO_UNKNOWN_COMMIT,), 1, ACKNOWLEDGED_IS_COMMITTED),
    Control((Wrong.RECONCILE_NEVER_RUNS,), 1, ONE_ASSISTANT),
    Control((Wrong.TAKES_NO_LOCK, Wrong.NOTES_NOTHING), 0, ONE_ASSISTANT),
    Control((Wrong.TAKES_NO_LOCK, Wrong.NOTES_NOTHING, Wrong.HAS_NO_UNIQUE_INDEX), 0, ONE_ROW),
)

# These break only where the user is deleted, or reconcile runs, in the midst of it.
CONTROLS_OF_EVERYBODY = (
    Control((Wrong.TAKES_NO_LOCK, *BY_LISTING), 0, TOMBSTONE_WINS),
    Control((Wrong.IGNORES_TOMBSTONES,), 0, TOMBSTONE_WINS),
    Control((Wrong.BURIES_WITHOUT_LOCK,), 0, TOMBSTONE_WINS),
    Control((Wrong.BURIES_WITHOUT_NOTE,), 1, ONE_ASSISTANT),
    Control((Wrong.BURIES_ON_ANOTHERS_NOTE,), 1, ONE_ASSISTANT),
    Control((Wrong.DELETES_BEFORE_BURYING,), 0, ASSISTANT_EXISTS),
    Control((Wrong.DROPS_OLDER_NOTE,), 1, ONE_ASSISTANT),
    Control((Wrong.DELETES_THE_UNCLAIMED,), 2, ASSISTANT_EXISTS),
    Control((Wrong.CLEARS_YOUNG_NOTES,), 1, ONE_ASSISTANT),
)


def controls(fewest_faults: int = 0) -> list[pytest.ParameterSet]:
    """Each control with its actors, named for what it does wrong."""
    ensure = [(control, TWO_HANDLERS) for control in CONTROLS_OF_ENSURE]
    everybody = [(control, EVERYBODY) for control in CONTROLS_OF_EVERYBODY]
    return [
        pytest.param(control, actors, id=control.name)
        for control, actors in (*ensure, *everybody)
        if control.faults >= fewest_faults
    ]


# Departures that cost something, but nothing that stays.
HARMLESS = (
    # A needless 503: the redelivery finds the row.
    (Wrong.ANSWERS_503_TO_UNKNOWN_COMMIT,),
    # One call more for each sign-up.
    (Wrong.LOOKS_UP_ALWAYS,),
    # The same, and reconcile reaches only as far as Backboard's listing.
    BY_LISTING,
    # The lock alone keeps one row; the index is for writers who do not take it.
    (Wrong.HAS_NO_UNIQUE_INDEX,),
    # A second assistant, until reconcile.
    (Wrong.TAKES_FAILED_LOOKUP_FOR_ABSENT,),
)


@pytest.mark.parametrize(("actors", "floor"), [(TWO_HANDLERS, 3_000), (THREE_HANDLERS, 2_000)], ids=["2x2", "3x1"])
def test_ensure_holds_in_every_state(actors: Actors, floor: int) -> None:
    """Handlers that make sure of one user keep every invariant, whichever 3 faults strike."""
    found = Search().run(*actors, faults=3)

    assert (found.broken, found.trace) == (None, ())
    assert floor <= found.states


@pytest.mark.parametrize(
    ("handlers", "faults", "floor"),
    [(TWO_HANDLERS, 2, 150_000), (THREE_HANDLERS, 1, 50_000)],
    ids=["2x2", "3x1"],
)
def test_ensure_holds_beside_deletion_and_reconcile(handlers: Actors, faults: int, floor: int) -> None:
    """A deletion and a reconcile in the midst of the handlers break nothing either."""
    found = Search().run(*handlers, *BESIDE_THEM, faults=faults)

    assert (found.broken, found.trace) == (None, ())
    assert floor <= found.states


@pytest.mark.parametrize(("control", "actors"), controls())
def test_departure_from_the_design_is_caught(control: Control, actors: Actors) -> None:
    """Each rule of the design is needed: without it the search finds what breaks."""
    found = Search(frozenset(control.wrong)).run(*actors, faults=control.faults)

    assert control.breaks == found.broken
    assert found.trace


@pytest.mark.parametrize(("control", "actors"), controls(fewest_faults=1))
def test_departure_needs_its_faults(control: Control, actors: Actors) -> None:
    """With one fault less a control holds, so that the number it names is the fewest."""
    found = Search(frozenset(control.wrong)).run(*actors, faults=control.faults - 1)

    assert found.broken is None


@pytest.mark.parametrize("wrong", HARMLESS, ids=", ".join)
def test_harmless_departure_holds(wrong: tuple[Wrong, ...]) -> None:
    """Some rules save calls, answers or duplicates for a while; safety does not hang on them."""
    found = Search(frozenset(wrong)).run(*EVERYBODY, faults=1)

    assert (found.broken, found.trace) == (None, ())
    assert found.states >= 8_000


def test_every_departure_is_tried() -> None:
    """A departure that no test tries would prove nothing."""
    tried = {wrong for control in CONTROLS_OF_ENSURE + CONTROLS_OF_EVERYBODY for wrong in control.wrong}

    assert set(Wrong) == tried.union(*HARMLESS)


def test_compensation_deletes_what_a_rival_adopted() -> None:
    """One refused COMMIT is enough: what is deleted to make up for it has got a row meanwhile."""
    found = Search(frozenset({Wrong.COMPENSATES})).run(*TWO_HANDLERS, faults=1)

    assert found.trace == (
        "ensure 1: finds nothing",
        "ensure 2: finds nothing",
        "ensure 1: notes the try",
        "ensure 1: takes the lock",
        "ensure 1: creates an assistant",
        "ensure 1: is refused the COMMIT",
        "ensure 2: notes the try",
        "ensure 2: takes the lock",
        "ensure 2: adopts an assistant",
        "ensure 1: deletes an assistant",
        "ensure 2: commits",
    )


def test_deletion_must_not_lean_on_the_note_of_a_try() -> None:
    """Whoever leaves takes the only note along; the deletion that leaned on it is then remembered by nobody."""
    found = Search(frozenset({Wrong.BURIES_ON_ANOTHERS_NOTE})).run(*EVERYBODY, faults=1)

    assert found.trace == (
        "ensure 1: finds nothing",
        "ensure 2: finds nothing",
        "ensure 1: notes the try",
        "ensure 1: takes the lock",
        "ensure 1: creates an assistant",
        "ensure 1: commits",
        "ensure 2: notes the try",
        "deletion 3: buries the user, answer lost",
        "ensure 2: leaves",
    )
