"""A burst of sign-ups as discrete events, to find out when all users are in, with so many processes and this sender.

Each delivery reaches a random process. It takes a free slot, or waits for one in the order of arrival, or is answered
503; the sender then repeats it by its schedule. The processor is left out: a sign-up takes a process about a
millisecond of it, so with five slots and a partner of 300 ms a process is idle for 98 % of the time.
"""

import heapq
import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from math import ceil

from app.backboard.models import LONGEST_WAIT
from app.backboard.slots import SLOT_TIMEOUT
from app.components import WAITING_PER_SLOT


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a sender repeats a delivery: `delays` in seconds, each give or take `jitter`.

    A Retry-After counts, but as no less than the delay and no more than twice of it.
    """

    delays: tuple[float, ...]
    jitter: float = 0.2

    def delay(self, failures: int, retry_after: float, rng: random.Random) -> float | None:
        """Seconds until the next attempt after so many failures; None when the sender gives up."""
        if failures > len(self.delays):
            return None
        delay = self.delays[failures - 1]
        return min(2 * delay, max(delay, retry_after)) * rng.uniform(1 - self.jitter, 1 + self.jitter)


# Svix documentation, "Retries", and its open-source server, worker.rs (svix-webhooks at 4fc0cfb8): the clamp and the
# jitter. Eight attempts in 27 h 35 min.
SVIX = Schedule((5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 10 * 3600))


@dataclass(frozen=True, slots=True)
class Service:
    """`seconds` is how long a sign-up holds its slot: Backboard's time and our own."""

    processes: int
    slots: int
    seconds: float


@dataclass(slots=True)
class Outcome:
    """When each user was in, in seconds since the first arrival; refusals; deliveries that the sender gave up."""

    seconds: list[float] = field(default_factory=list)
    refusals: int = 0
    given_up: int = 0

    def share_by(self, until: float) -> float:
        """The share of the users who were in by then."""
        total = len(self.seconds) + self.given_up
        return sum(one <= until for one in self.seconds) / total

    def until(self, share: float) -> float:
        """After how many seconds this share of those who came in was in."""
        return sorted(self.seconds)[ceil(share * len(self.seconds)) - 1]


@dataclass(slots=True)
class _Delivery:
    failures: int = 0
    # Which wait for a slot is its latest; an older one that ends is out of date.
    turn: int = 0
    is_waiting: bool = False


class _Process:
    def __init__(self, slots: int) -> None:
        self.free = slots
        self.queue: deque[_Delivery] = deque()
        self.waiting = 0


class Simulation:
    def __init__(self, service: Service, schedule: Schedule, seed: int) -> None:
        self._service, self._schedule = service, schedule
        self._rng = random.Random(seed)
        self._processes = [_Process(service.slots) for _ in range(service.processes)]
        # Time, a number that keeps the order of one moment, what happens, where, to what.
        self._events: list[tuple[float, int, str, _Process | None, _Delivery]] = []
        self._numbers = count()
        self.outcome = Outcome()

    def run(self, arrivals: Iterable[float]) -> Outcome:
        """Deliver a sign-up at each of these times, in seconds, until none is left."""
        for arrival in arrivals:
            self._plan(arrival, "arrives", None, _Delivery())
        while self._events:
            now, turn, what, process, delivery = heapq.heappop(self._events)
            if process is None:
                self._arrive(now, delivery)
            elif what == "done":
                self.outcome.seconds.append(now)
                self._free(now, process)
            elif delivery.is_waiting and delivery.turn == turn:
                delivery.is_waiting = False
                process.waiting -= 1
                self._refuse(now, process, delivery)
        return self.outcome

    def _plan(self, when: float, what: str, process: _Process | None, delivery: _Delivery) -> int:
        number = next(self._numbers)
        heapq.heappush(self._events, (when, number, what, process, delivery))
        return number

    def _arrive(self, now: float, delivery: _Delivery) -> None:
        process = self._rng.choice(self._processes)
        if process.free:
            process.free -= 1
            self._plan(now + self._service.seconds, "done", process, delivery)
        elif process.waiting < self._service.slots * WAITING_PER_SLOT:
            process.waiting += 1
            process.queue.append(delivery)
            delivery.is_waiting = True
            delivery.turn = self._plan(now + SLOT_TIMEOUT, "has waited", process, delivery)
        else:
            self._refuse(now, process, delivery)

    def _free(self, now: float, process: _Process) -> None:
        while process.queue:
            delivery = process.queue.popleft()
            if delivery.is_waiting:
                delivery.is_waiting = False
                process.waiting -= 1
                self._plan(now + self._service.seconds, "done", process, delivery)
                return
        process.free += 1

    def _refuse(self, now: float, process: _Process, delivery: _Delivery) -> None:
        """As app.backboard.slots says when to come again."""
        self.outcome.refusals += 1
        delivery.failures += 1
        turns = process.waiting // self._service.slots + 1
        retry_after = min(LONGEST_WAIT, ceil(turns * self._service.seconds))
        delay = self._schedule.delay(delivery.failures, retry_after, self._rng)
        if delay is None:
            self.outcome.given_up += 1
        else:
            self._plan(now + delay, "arrives", None, delivery)
