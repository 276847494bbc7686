"""A measured figure beside the one that it is compared with, and the table that holds them all."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, TypeVar

Contender = TypeVar("Contender")
Measured = TypeVar("Measured")

Bar = tuple[Literal["<=", ">="], float]

_ROW = "{:<10} {:<46} {:>12} {:>12}  {:<26} {:>7}  {}"


@dataclass(frozen=True, slots=True)
class Figure:
    """`bar` is what `ratio` has to keep to."""

    what: str
    unit: str
    ours: float
    theirs: float
    against: str
    ratio: float
    bar: Bar | None = None

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None if there is none."""
        if self.bar is None:
            return None
        sign, value = self.bar
        return self.ratio <= value if sign == "<=" else self.ratio >= value

    def row(self, suite: str) -> str:
        bar = f"{self.bar[0]} {self.bar[1]:g} {'met' if self.met else 'MISSED'}" if self.bar else ""
        ours, theirs = (f"{_rounded(value)} {self.unit}" for value in (self.ours, self.theirs))
        return _ROW.format(suite, self.what, ours, theirs, self.against, _rounded(self.ratio), bar).rstrip()


def at_most(value: float) -> Bar:
    return "<=", value


def at_least(value: float) -> Bar:
    return ">=", value


def heading() -> str:
    return _ROW.format("suite", "what", "ours", "other", "which is", "ratio", "bar").rstrip()


def interleaved(contenders: Mapping[Contender, Callable[[], Measured]], rounds: int) -> dict[Contender, list[Measured]]:
    """Measure all of them in turn, round after round, each round beginning with another one."""
    names = list(contenders)
    measured: dict[Contender, list[Measured]] = {name: [] for name in names}
    for first in range(rounds):
        for place in range(len(names)):
            name = names[(first + place) % len(names)]
            measured[name].append(contenders[name]())
    return measured


def ratio(ours: Iterable[float], theirs: Iterable[float]) -> float:
    """The median of the ratios of the rounds, so that a slow moment of the machine affects both sides.

    Not a number if something could not be measured: the system does not tell, or it took less than a tick.
    """
    return median(one / other if other else math.nan for one, other in zip(ours, theirs, strict=True))


def compared(
    what: str,
    unit: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    against: str,
    bar: Bar | None = None,
) -> Figure:
    """A figure of two series of rounds: their medians, and the median of the ratios of the rounds."""
    return Figure(what, unit, median(ours), median(theirs), against, ratio(ours, theirs), bar)


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
