"""Prometheus metrics of this process; of several processes on one port, a scrape reaches any one."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

# From an answer out of the database to one that waited for Backboard as long as it may.
BUCKETS = (0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 8.0, 12.0)

CONTENT_TYPE = CONTENT_TYPE_LATEST

PoolStats = Callable[[], Mapping[str, int]]


class Metrics:
    """Requests by event, outcome and status, their time by event, and the connections of each pool."""

    def __init__(self, pools: Mapping[str, PoolStats]) -> None:
        # A second series of each counter, with the time at which it began, is of no use.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # It has no annotations.
        self._registry = CollectorRegistry()
        requests = Counter("requests", "Requests answered.", ["event", "outcome", "status"], registry=self._registry)
        seconds = Histogram("request_seconds", "Time to answer.", ["event"], buckets=BUCKETS, registry=self._registry)
        # labels() costs more than the counting itself.
        self._requests, self._seconds = cache(requests.labels), cache(seconds.labels)
        self._registry.register(_Pools(pools))

    def count(self, event: str, outcome: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests(event, outcome, status).inc()
        self._seconds(event).observe(seconds)

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)


class _Pools(Collector):
    """The pools know their own figures; they are read at each scrape."""

    def __init__(self, pools: Mapping[str, PoolStats]) -> None:
        self._pools = pools

    def collect(self) -> Iterator[Metric]:
        connections = GaugeMetricFamily(
            "pool_connections", "Connections and callers of a pool.", labels=["pool", "state"]
        )
        for pool, stats in self._pools.items():
            for state, number in stats().items():
                connections.add_metric([pool, state], number)
        yield connections
