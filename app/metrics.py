"""Figures for Prometheus, of this process: with several, a scrape meets one of them at random."""

from collections.abc import Callable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

# From an answer out of the database to one that waited for Backboard as long as it may.
BUCKETS = (0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 8.0, 12.0)

CONTENT_TYPE = CONTENT_TYPE_LATEST

Figures = Callable[[], Mapping[str, int]]


class Metrics:
    """Counts requests by event, outcome and status, their time by event, and the connections of each pool."""

    def __init__(self, pools: Mapping[str, Figures]) -> None:
        self._registry = CollectorRegistry()
        self._pools = pools
        names = ["event", "outcome", "status"]
        self._requests = Counter("requests", "Requests answered.", names, registry=self._registry)
        self._seconds = Histogram(
            "request_seconds", "Time to answer.", ["event"], buckets=BUCKETS, registry=self._registry
        )
        # Looking a child up by its labels costs more than counting.
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._connections = Gauge(
            "pool_connections", "Connections and callers of a pool.", ["pool", "state"], registry=self._registry
        )

    def count(self, event: str, outcome: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        key = (event, outcome, status)
        counted = self._children.get(key)
        if counted is None:
            counted = self._children[key] = (
                self._requests.labels(event, outcome, str(status)),
                self._seconds.labels(event),
            )
        counted[0].inc()
        counted[1].observe(seconds)

    def text(self) -> bytes:
        """Prometheus' text format."""
        for pool, figures in self._pools.items():
            for state, number in figures().items():
                self._connections.labels(pool, state).set(number)
        return generate_latest(self._registry)
