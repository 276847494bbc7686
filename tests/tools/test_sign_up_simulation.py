"""The simulation of a wave of sign-ups: its sender's schedule, and small waves that can be worked out by hand."""

import random

import pytest

from app.backboard.slots import SLOT_TIMEOUT
from app.components import WAITING_PER_SLOT
from tools.bench.sign_up_simulation import SVIX, Outcome, Schedule, Service, Simulation

NEVER_AGAIN = Schedule(())


def simulated(service: Service, arrivals: list[float], schedule: Schedule = NEVER_AGAIN) -> Outcome:
    return Simulation(service, schedule, seed=1).run(arrivals)


@pytest.mark.parametrize(
    ("failures", "retry_after", "expected"),
    [
        (1, 0, 5),
        (1, 3, 5),
        (1, 8, 8),
        (1, 30, 10),
        (2, 30, 300),
        (3, 0, 1800),
        (7, 0, 36_000),
    ],
)
def test_a_refused_delivery_is_repeated_by_the_schedule(failures: int, retry_after: float, expected: float) -> None:
    """Give or take a fifth; a Retry-After can double the delay and not shorten it."""
    delays = [SVIX.delay(failures, retry_after, random.Random(seed)) or 0.0 for seed in range(200)]

    assert expected * 0.8 <= min(delays) < expected < max(delays) <= expected * 1.2


def test_the_sender_gives_up_after_eight_attempts() -> None:
    assert SVIX.delay(8, 30, random.Random(1)) is None


def test_sign_ups_that_find_a_slot_are_not_delayed() -> None:
    outcome = simulated(Service(1, 2, 0.3), [0.0, 0.1, 0.35])

    assert outcome.seconds == pytest.approx([0.3, 0.4, 0.65])
    assert outcome.refusals == 0


def test_a_sign_up_that_finds_no_slot_waits_in_the_order_of_arrival() -> None:
    assert simulated(Service(1, 1, 1.0), [0.0, 0.1, 0.2]).seconds == [1.0, 2.0, 3.0]


def test_what_neither_finds_a_slot_nor_a_place_to_wait_is_refused() -> None:
    """The rest is served, since each waits for less than the limit."""
    outcome = simulated(Service(1, 1, 0.1), [0.0] * (1 + WAITING_PER_SLOT + 3))

    assert (len(outcome.seconds), outcome.refusals, outcome.given_up) == (1 + WAITING_PER_SLOT, 3, 3)


def test_places_to_wait_become_free_again() -> None:
    wave = [0.0] * (1 + WAITING_PER_SLOT)
    outcome = simulated(Service(1, 1, 0.1), [*wave, *(when + 10 for when in wave)])

    assert (len(outcome.seconds), outcome.refusals) == (2 * len(wave), 0)


def test_a_sign_up_waits_for_a_slot_no_longer_than_the_limit() -> None:
    outcome = simulated(Service(1, 1, SLOT_TIMEOUT - 1), [0.0, 0.0, 0.0])

    assert outcome.seconds == [SLOT_TIMEOUT - 1, 2 * (SLOT_TIMEOUT - 1)]
    assert outcome.given_up == 1


def test_a_refused_sign_up_comes_in_later() -> None:
    schedule = Schedule((10,), jitter=0.0)
    outcome = simulated(Service(1, 1, SLOT_TIMEOUT - 1), [0.0, 0.0, 0.0], schedule)

    assert (outcome.refusals, outcome.given_up) == (1, 0)
    assert outcome.until(1.0) == SLOT_TIMEOUT + 10 + SLOT_TIMEOUT - 1


def test_nobody_is_lost_or_comes_in_twice() -> None:
    arrivals = [number / 200 for number in range(1000)]
    outcome = simulated(Service(2, 5, 0.3), arrivals, Schedule((1, 2)))

    assert len(outcome.seconds) + outcome.given_up == len(arrivals)
    assert outcome.given_up > 0
    assert outcome.share_by(outcome.until(1.0)) == len(outcome.seconds) / len(arrivals)


def test_the_same_seed_makes_the_same_wave() -> None:
    def times(seed: int) -> list[float]:
        return Simulation(Service(2, 5, 0.3), SVIX, seed).run([0.0] * 500).seconds

    assert times(1) == times(1)
    assert times(1) != times(2)
