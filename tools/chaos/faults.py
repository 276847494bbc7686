"""Which fault happens to what passes a proxy: one planned for a user, or a random one while the storm is on."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class Tally:
    """How many faults of each kind have happened."""

    counts: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, count: int = 1) -> None:
        self.counts[kind] += count

    def total(self, *beginnings: str) -> int:
        """How many there were, or how many of the kinds that begin like this."""
        return sum(count for kind, count in self.counts.items() if not beginnings or kind.startswith(beginnings))


class Faults:
    """Decides for one proxy. It draws one random number for each thing that passes, in the order of passing."""

    def __init__(self, rng: random.Random, tally: Tally, rates: Mapping[str, float]) -> None:
        self.rng = rng
        self.tally = tally
        self.storm = False
        self._rates = rates
        self._planned: list[tuple[str, list[bytes]]] = []

    def plan(self, action: str, *markers: str) -> None:
        """Plan this for the next thing that holds all of `markers`, such as a Clerk id."""
        self._planned.append((action, [marker.encode() for marker in markers]))

    def forget_plans(self) -> None:
        self._planned.clear()

    def decide(self, passing: bytes, possible: Sequence[str]) -> str | None:
        """The action for this one, counted in the tally; None lets it through."""
        action = self._planned_for(passing, possible) or self._random(possible)
        if action is not None:
            self.tally.add(action)
        return action

    def _planned_for(self, passing: bytes, possible: Sequence[str]) -> str | None:
        for index, (action, markers) in enumerate(self._planned):
            if action in possible and all(marker in passing for marker in markers):
                del self._planned[index]
                return action
        return None

    def _random(self, possible: Sequence[str]) -> str | None:
        if not self.storm:
            return None
        number = self.rng.random()
        for action in possible:
            number -= self._rates.get(action, 0.0)
            if number < 0:
                return action
        return None
