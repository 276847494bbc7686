"""What a process needs before it does anything: memory, time until it is ready, and imports."""

import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median

from tools.bench import database, servers, traffic
from tools.bench.cores import placed_on
from tools.bench.ensure import BUSY
from tools.bench.figures import Figure, at_most, compared, interleaved
from tools.bench.load import put_load
from tools.bench.rig import Rig
from tools.processes import ROOT

_MEGABYTE = 1e6
_LARGEST = 6
_READY_SECONDS = 1.5


def run(rig: Rig) -> Iterator[Figure]:
    variables = servers.variables(database.populated(rig, rig.sizes.users))
    yield from _start(rig, variables)
    yield from _memory(rig, variables)
    yield from _imports(rig)


def _start(rig: Rig, variables: dict[str, str]) -> Iterator[Figure]:
    def ours() -> float:
        with servers.started(servers.OURS, variables, rig.cores.server) as server:
            return server.seconds_to_ready

    def bare() -> float:
        with servers.bare(rig.cores.server) as server:
            return server.seconds_to_ready

    seconds = interleaved({"ours": ours, "bare": bare}, rig.sizes.rounds)
    yield compared("from exec to ready", "s", seconds["ours"], seconds["bare"], against="bare ASGI app")
    yield compared(
        "  the same", "s", seconds["ours"], [_READY_SECONDS] * rig.sizes.rounds, against="the bar", bar=at_most(1)
    )


def _memory(rig: Rig, variables: dict[str, str]) -> Iterator[Figure]:
    requests = traffic.existing_users(rig.folder / "requests", rig.sizes.users)
    with ExitStack() as running:
        ours = running.enter_context(servers.started(servers.OURS, variables, rig.cores.server))
        bare = running.enter_context(servers.bare(rig.cores.server))
        idle, theirs = ours.memory() / _MEGABYTE, bare.memory() / _MEGABYTE
        yield compared("memory of an idle process", "MB", [idle], [theirs], against="bare ASGI app")
        # The first requests of a process open connections and let the batches grow to their largest size.
        served = put_load(rig, ours, requests, BUSY).requests
        before = ours.memory() / _MEGABYTE
        answered = 0
        while answered < rig.sizes.requests:
            answered += put_load(rig, ours, requests, BUSY).requests
        after = ours.memory() / _MEGABYTE
        yield compared(f"memory after {served + answered:,} requests", "MB", [after], [idle], against="idle")
        what = f"memory after {answered:,} more than {served:,}"
        yield compared(what, "MB", [after], [before], against=f"after {served:,}", bar=at_most(1.05))


def _imports(rig: Rig) -> Iterator[Figure]:
    """The largest imports of the web process, by package, as shares of all of them."""
    with placed_on(rig.cores.server):
        runs = [_import_times() for _ in range(rig.sizes.rounds)]
    medians = {name: median(run.get(name, 0.0) for run in runs) for name in runs[0]}
    everything = sum(medians.values())
    for name, spent in sorted(medians.items(), key=lambda item: -item[1])[:_LARGEST]:
        yield compared(f"  import {name}", "ms", [spent], [everything], against="all imports")


def _import_times() -> dict[str, float]:
    """Milliseconds that each top package's own modules take, by Python's -X importtime."""
    command = [sys.executable, "-X", "importtime", "-c", "import app.application"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    spent: dict[str, float] = defaultdict(float)
    for line in done.stderr.splitlines():
        own, _, name = line.removeprefix("import time:").split("|")
        if own.strip().isdigit():
            spent[name.strip().partition(".")[0]] += int(own) / 1000
    return spent
