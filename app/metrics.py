"""Figures for Prometheus, of this process: with several, a scrape meets one of them at random."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

# From an answer out of the database to one that waited for Backboard as long as it may.
BUCKETS = (0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 8.0, 12.0)

CONTENT_TYPE = CONTENT_TYPE_LATEST

Figures = Callable[[], Mapping[str, int]]


class Metrics(Collector):
    """Counts requests by event, outcome and status, their time by event, and the connections of each pool.

    The client library's own counters take a lock for each number; a process with one thread can do with numbers.
    """

    def __init__(self, pools: Mapping[str, Figures]) -> None:
        self._pools = pools
        self._requests: dict[tuple[str, str, int], int] = defaultdict(int)
        # By event, how many requests took at most each of the bounds and not the one before; the last are above all.
        self._times: dict[str, list[int]] = defaultdict(lambda: [0] * (len(BUCKETS) + 1))
        self._seconds: dict[str, float] = defaultdict(float)
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def count(self, event: str, outcome: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests[event, outcome, status] += 1
        self._times[event][bisect_left(BUCKETS, seconds)] += 1
        self._seconds[event] += seconds

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """All figures as they stand."""
        requests = CounterMetricFamily("requests", "Requests answered.", labels=["event", "outcome", "status"])
        for (event, outcome, status), number in self._requests.items():
            requests.add_metric([event, outcome, str(status)], number)
        seconds = HistogramMetricFamily("request_seconds", "Time to answer.", labels=["event"])
        for event, times in self._times.items():
            bounds = [*map(str, BUCKETS), "+Inf"]
            buckets = list(zip(bounds, accumulate(times), strict=True))
            seconds.add_metric([event], buckets, self._seconds[event])
        connections = GaugeMetricFamily(
            "pool_connections", "Connections and callers of a pool.", labels=["pool", "state"]
        )
        for pool, figures in self._pools.items():
            for state, number in figures().items():
                connections.add_metric([pool, state], number)
        yield from (requests, seconds, connections)
