"""ensure-user for existing users, beside the bare application: throughput, CPU a request, latency."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import psycopg

from app.postgres.queries import Queries
from tools.bench import database, servers, traffic
from tools.bench.client import PERCENTILES
from tools.bench.cores import placed_on
from tools.bench.figures import Figure, at_least, at_most, compared, interleaved
from tools.bench.load import Sample, put_load
from tools.bench.rig import Rig
from tools.bench.servers import Server

BUSY = 32
_TRIPS = 300


@contextmanager
def both(rig: Rig) -> Iterator[tuple[dict[str, Server], Path, str]]:
    """Our server and the bare one, the requests for them, and the address of our database."""
    url = database.populated(rig, rig.sizes.users)
    command, variables = servers.OURS, servers.variables(url)
    with (
        servers.started(command, variables, rig.cores.server) as ours,
        servers.bare(rig.cores.server) as bare,
    ):
        requests = traffic.existing_users(rig.folder / "requests", rig.sizes.users)
        yield {"ours": ours, "bare": bare}, requests, url


def run(rig: Rig) -> Iterator[Figure]:
    """Throughput at several concurrencies, and the CPU time behind it."""
    with both(rig) as (running, requests, _):
        samples = measure(rig, running, requests, rig.sizes.connections)
    for connections in rig.sizes.connections:
        ours, bare = samples["ours", connections], samples["bare", connections]
        bar = at_least(0.45) if connections == BUSY else None
        where = f"{connections} connection{'s' if connections > 1 else ''}"
        rates = ([one.rate for one in ours], [one.rate for one in bare])
        yield compared(f"existing user, {where}", "/s", *rates, against="bare ASGI app", bar=bar)
        spent = ([one.microseconds for one in ours], [one.microseconds for one in bare])
        yield compared("  the server's CPU time", "us", *spent, against="bare ASGI app")
    # Below 1, each on its own core, the server is the bottleneck.
    spent = ([one.generator for one in bare], [one.microseconds for one in bare])
    yield compared("CPU time of the load on the bare app", "us", *spent, against="bare ASGI app")


def run_latency(rig: Rig) -> Iterator[Figure]:
    """The median and the 99th percentile: on one connection, and on many."""
    with both(rig) as (running, requests, url):
        samples = measure(rig, running, requests, (1, BUSY))
        trips = [_round_trip(rig, url) for _ in range(rig.sizes.rounds)]
    alone = [one.percentiles[50] for one in samples["ours", 1]]
    floor = [one.percentiles[50] + trip for one, trip in zip(samples["bare", 1], trips, strict=True)]
    yield compared("p50, 1 connection", "ms", alone, floor, against="bare app + Postgres trip", bar=at_most(2))
    for name in ("ours", "bare"):
        busy = samples[name, BUSY]
        tail, middle = [one.percentiles[99] for one in busy], [one.percentiles[50] for one in busy]
        what = f"p99, {BUSY} connections" + (", bare app" if name == "bare" else "")
        yield compared(what, "ms", tail, middle, against="its own p50", bar=at_most(4) if name == "ours" else None)


def measure(
    rig: Rig, running: dict[str, Server], requests: Path, connections: tuple[int, ...]
) -> dict[tuple[str, int], list[Sample]]:
    """Put load on every server at every concurrency in turn, after a warm-up; kept for the plot."""
    for server in running.values():
        put_load(rig, server, requests, BUSY)
    contenders = {
        (name, many): partial(put_load, rig, server, requests, many)
        for many in connections
        for name, server in running.items()
    }
    samples = interleaved(contenders, rig.sizes.rounds)
    for (name, many), measured in samples.items():
        rig.throughput.setdefault(name, {})[many] = median(one.rate for one in measured)
        if many == BUSY:
            rig.latency[name] = [(which, median(one.percentiles[which] for one in measured)) for which in PERCENTILES]
    return samples


def _round_trip(rig: Rig, url: str) -> float:
    """Milliseconds of the lookup's own statement from the server's core, by libpq and nothing else; the median."""
    statement = Queries.load().find_users.replace(b"%(clerk_ids)s", b"$1")
    with placed_on(rig.cores.server), psycopg.connect(url) as connection:
        taken = []
        for number in range(1, _TRIPS):
            asked = f"{{{database.clerk_id(1 + number % rig.sizes.users)}}}".encode()
            began = perf_counter()
            connection.pgconn.exec_params(statement, [asked])
            taken.append(perf_counter() - began)
    return median(taken) * 1000
