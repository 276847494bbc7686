"""What every suite gets: where processes run, how much is measured, and the curves of the plot."""

from dataclasses import dataclass, field
from pathlib import Path

from tools.bench.cores import Cores
from tools.sandbox.postgres import Postgres


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured; it changes only how much the figures vary."""

    rounds: int = 3
    # Of load at a time; wrk takes whole ones only.
    seconds: float = 1.0
    connections: tuple[int, ...] = (1, 32, 128)
    users: int = 10_000
    many_users: int = 1_000_000
    # Sign-ups one at a time, and in the burst.
    sign_ups: int = 100
    burst: int = 400
    # Sign-ups of the wave that is simulated.
    wave: int = 60_000
    # In the chat's tables, and how often each request is made.
    messages: int = 1_000_000
    asked: int = 300
    # In the suite that compares a large table of messages with a small one.
    many_messages: int = 1_000_000
    # Events and new users in a file: more than can be sent in a measurement, since a second delivery changes nothing.
    events: int = 20_000
    new_users: int = 3_000
    # In the history that the operations page shows, five of each user.
    deliveries: int = 1_000_000
    # Between the two measurements of memory.
    requests: int = 50_000
    # What is drawn at random is drawn from this.
    seed: int = 20261127


@dataclass(slots=True)
class Rig:
    """`folder` is deleted after the run; `postgres` syncs its commits to disk."""

    cores: Cores
    sizes: Sizes
    folder: Path
    postgres: Postgres
    # Whether the peers are measured at every concurrency, as a plot needs them.
    curves: bool = False
    # Requests a second by server and connections, and percentiles of latency by server.
    throughput: dict[str, dict[int, float]] = field(default_factory=dict)
    latency: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
