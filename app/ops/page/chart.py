"""The chart of 24 hours: what became of the events, a bar for each half hour, as the geometry of an SVG. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from app.ops.models import FAILURE, OutcomeCount

BARS = 48
BAR_MINUTES = 30
WIDTH, HEIGHT = 960, 150
STEP = WIDTH // BARS
GAP = 4
SMALLEST = 2
# From the foot of a bar upwards. Each has a word and a pattern of its own, beside its colour.
KINDS = ("fine", "created", "refused", "failed")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a bar, in units of the drawing."""

    kind: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """Half an hour: how many of each kind, their pieces, and the address of its deliveries."""

    begin: datetime
    end: datetime
    x: int
    counts: dict[str, int]
    pieces: Sequence[Piece]
    link: str

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def words(self) -> str:
        """For a reader who cannot see the bar."""
        parts = [f"{number} {kind}" for kind, number in self.counts.items() if number]
        return f"{self.begin:%H:%M} to {self.end:%H:%M} UTC: {', '.join(parts) or 'nothing'}"


@dataclass(frozen=True, slots=True)
class Chart:
    bars: Sequence[Bar]
    highest: int
    totals: dict[str, int]
    width: int = WIDTH
    height: int = HEIGHT
    bar_width: int = STEP - GAP

    @property
    def hours(self) -> Sequence[Bar]:
        """The bars that a word of the axis stands under."""
        return self.bars[::8]


def draw(counts: Sequence[OutcomeCount], now: datetime) -> Chart:
    """The bars up to now; a webhook, or an ensure-user that made a user or failed, as the list of deliveries has."""
    length = timedelta(minutes=BAR_MINUTES)
    last = now.astimezone(UTC).replace(minute=now.minute // BAR_MINUTES * BAR_MINUTES, second=0, microsecond=0)
    begins = [last - length * number for number in reversed(range(BARS))]
    by_bar = {begin: dict.fromkeys(KINDS, 0) for begin in begins}
    for one in counts:
        kind = _kind(one)
        begin = one.slot.replace(minute=one.slot.minute // BAR_MINUTES * BAR_MINUTES)
        if kind is not None and begin in by_bar:
            by_bar[begin][kind] += one.number
    highest = max((sum(numbers.values()) for numbers in by_bar.values()), default=0)
    bars = [_bar(number, begin, by_bar[begin], highest) for number, begin in enumerate(begins)]
    return Chart(bars, highest, {kind: sum(bar.counts[kind] for bar in bars) for kind in KINDS})


def _kind(one: OutcomeCount) -> str | None:
    if one.status >= FAILURE:
        return "failed"
    if one.outcome == "created":
        return "created"
    if one.event != "webhook":
        return None
    return "fine" if one.outcome else "refused"


def _bar(number: int, begin: datetime, counts: dict[str, int], highest: int) -> Bar:
    end = begin + timedelta(minutes=BAR_MINUTES)
    pieces, y = [], float(HEIGHT)
    for kind, count in counts.items():
        if count:
            height = max(count / highest * (HEIGHT - SMALLEST * len(KINDS)), SMALLEST)
            y -= height
            pieces.append(Piece(kind, round(y, 1), round(height, 1)))
    query = urlencode({"since": f"{begin:%Y-%m-%dT%H:%MZ}", "until": f"{end:%Y-%m-%dT%H:%MZ}"})
    return Bar(begin, end, number * STEP, counts, pieces, f"/ops/deliveries?{query}")
