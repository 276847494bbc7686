"""What every suite gets: where things run, how much is measured, and a place for the curves of the plot."""

from dataclasses import dataclass, field
from pathlib import Path

from tools.bench.cores import Cores
from tools.sandbox.postgres import Postgres


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured; the figures do not depend on it, only how much they vary."""

    rounds: int = 3
    # Of load at a time; wrk takes whole ones only.
    seconds: float = 1.0
    connections: tuple[int, ...] = (1, 32, 128)
    users: int = 10_000
    many_users: int = 1_000_000
    # One at a time, and in the burst.
    sign_ups: int = 100
    burst: int = 400
    # In the chat's memory, and how often each of its requests is made.
    messages: int = 1_000_000
    asked: int = 300
    # Between the two looks at memory.
    requests: int = 50_000


@dataclass(slots=True)
class Rig:
    """`folder` is the run's own and gone after it; `postgres` syncs its commits to disk."""

    cores: Cores
    sizes: Sizes
    folder: Path
    postgres: Postgres
    # Whether the peers are measured at every concurrency, as a plot needs them.
    curves: bool = False
    # Server, connections: requests a second. And server: its latencies' percentiles at the busiest asked.
    throughput: dict[str, dict[int, float]] = field(default_factory=dict)
    latency: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
