"""Prometheus metrics: what this process has done, and what the tables know of all processes together.

Of several processes on one port, a scrape reaches any one; so what is one process's has the label `process`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from time import monotonic

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

# From an answer out of the database to one that waited for Backboard as long as it may.
BUCKETS = (0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 8.0, 12.0)

CONTENT_TYPE = CONTENT_TYPE_LATEST
PREFIX = "clerk_sync_"
BREAKER_STATES = ("closed", "open", "probing")

PoolStats = Callable[[], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class SharedFigures:
    """What the tables say of all processes together, and when that was on the monotonic clock; ages in seconds.

    `failing` is None, and `requests` and `last_events` are empty, where no history is kept.
    """

    read_at: float
    # By table: how many doubts are open, and the age of the oldest.
    doubts: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    failing: int | None = None
    # By the type of the event.
    last_events: Mapping[str, float] = field(default_factory=dict)
    # By event, outcome and status.
    requests: Mapping[tuple[str, str, int], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """The name of this process, and where its figures are read at each scrape."""

    id: str = ""
    breaker: Callable[[], str] = lambda: "closed"
    lost: Callable[[], int] = lambda: 0


_NAMELESS = ProcessFigures()


class Metrics:
    """Requests by event, outcome and status, their time by event, and what this process and the tables know else."""

    def __init__(self, pools: Mapping[str, PoolStats], process: ProcessFigures = _NAMELESS) -> None:
        # A second series of each counter, with the time at which it began, is of no use.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # It has no annotations.
        self._id = process.id
        self._registry = CollectorRegistry()
        requests = Counter(
            f"{PREFIX}process_requests",
            "Requests answered by this process.",
            ["event", "outcome", "status", "process"],
            registry=self._registry,
        )
        seconds = Histogram(
            f"{PREFIX}request_seconds",
            "Time to answer, of this process.",
            ["event", "process"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        # labels() costs more than the counting itself.
        self._requests, self._seconds = cache(requests.labels), cache(seconds.labels)
        self._shared = _Shared()
        self._registry.register(_Process(pools, process))
        self._registry.register(self._shared)

    def count(self, event: str, outcome: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests(event, outcome, status, self._id).inc()
        self._seconds(event, self._id).observe(seconds)

    def text(self, shared: SharedFigures | None = None, silence_seconds: float | None = None) -> bytes:
        """Prometheus' text format. `shared` and the seconds since any verified event are left out where unknown."""
        self._shared.figures, self._shared.silence_seconds = shared, silence_seconds
        return generate_latest(self._registry)


class _Process(Collector):
    """The pools and the circuit breaker know their own figures; they are read at each scrape."""

    def __init__(self, pools: Mapping[str, PoolStats], process: ProcessFigures) -> None:
        self._pools = pools
        self._process = process

    def collect(self) -> Iterator[Metric]:
        own = self._process
        labels = ["pool", "state", "process"]
        connections = GaugeMetricFamily(
            f"{PREFIX}pool_connections", "Connections and callers of a pool.", labels=labels
        )
        for pool, stats in self._pools.items():
            for state, number in stats().items():
                connections.add_metric([pool, state, own.id], number)
        yield connections
        breaker = GaugeMetricFamily(
            f"{PREFIX}breaker_state", "1 for the state of the circuit breaker.", labels=["state", "process"]
        )
        is_state = own.breaker()
        for state in BREAKER_STATES:
            breaker.add_metric([state, own.id], state == is_state)
        yield breaker
        lost = CounterMetricFamily(f"{PREFIX}history_lost", "Entries that the history lacks.", labels=["process"])
        lost.add_metric([own.id], own.lost())
        yield lost


class _Shared(Collector):
    """The figures of all processes; set for one scrape."""

    def __init__(self) -> None:
        self.figures: SharedFigures | None = None
        self.silence_seconds: float | None = None

    def collect(self) -> Iterator[Metric]:
        if self.silence_seconds is not None:
            yield _gauge("silence_seconds", "Time since the last verified event of any type.", self.silence_seconds)
        figures = self.figures
        if figures is None:
            return
        age = monotonic() - figures.read_at
        yield _gauge("figures_age_seconds", "How old the figures of all processes are.", age)
        yield from _doubts(figures)
        if figures.failing is not None:
            yield _gauge("failing_deliveries", "Deliveries that failed and did not heal.", figures.failing)
            yield from _history(figures, age)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value=value)


def _doubts(figures: SharedFigures) -> Iterator[Metric]:
    number = GaugeMetricFamily(f"{PREFIX}open_doubts", "What may be left unfinished.", labels=["table"])
    oldest = GaugeMetricFamily(
        f"{PREFIX}oldest_doubt_seconds", "Age of the oldest open doubt, 0 without any.", labels=["table"]
    )
    for table, (count, seconds) in figures.doubts.items():
        number.add_metric([table], count)
        oldest.add_metric([table], seconds)
    yield number
    yield oldest


def _history(figures: SharedFigures, age: float) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        f"{PREFIX}requests", "Requests answered by all processes.", labels=["event", "outcome", "status"]
    )
    for (event, outcome, status), count in figures.requests.items():
        requests.add_metric([event, outcome, str(status)], count)
    yield requests
    events = GaugeMetricFamily(
        f"{PREFIX}last_event_seconds", "Time since the last verified event of a type.", labels=["type"]
    )
    for kind, seconds in figures.last_events.items():
        events.add_metric([kind], seconds + age)
    yield events
