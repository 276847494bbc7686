"""Which fault befalls what passes a proxy: planned for one user, or by dice while the storm is on."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class Tally:
    """How many faults of each kind really happened."""

    counts: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, count: int = 1) -> None:
        self.counts[kind] += count

    def total(self, *beginnings: str) -> int:
        """How many there were, or how many of the kinds that begin like this."""
        return sum(count for kind, count in self.counts.items() if not beginnings or kind.startswith(beginnings))


class Faults:
    """Decides for one proxy. The dice is rolled once for each thing that passes, in the order of passing."""

    def __init__(self, dice: random.Random, tally: Tally, rates: Mapping[str, float]) -> None:
        self.dice = dice
        self.tally = tally
        self.storm = False
        self._rates = rates
        self._planned: list[tuple[str, list[bytes]]] = []

    def plan(self, action: str, *markers: str) -> None:
        """Let this befall the next thing that holds all of `markers`, such as a Clerk id."""
        self._planned.append((action, [marker.encode() for marker in markers]))

    def forget_plans(self) -> None:
        """What was planned and has not happened will not happen."""
        self._planned.clear()

    def decide(self, passing: bytes, possible: Sequence[str]) -> str | None:
        """The action for this one, or None to let it through."""
        for place, (action, markers) in enumerate(self._planned):
            if action in possible and all(marker in passing for marker in markers):
                del self._planned[place]
                return action
        if not self.storm:
            return None
        rolled = self.dice.random()
        for action in possible:
            rolled -= self._rates.get(action, 0.0)
            if rolled < 0:
                return action
        return None
