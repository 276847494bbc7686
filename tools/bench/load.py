"""Puts load on a server from a process of its own, and measures it."""

import json
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.bench.cores import placed_on
from tools.bench.rig import Rig
from tools.bench.servers import Server
from tools.processes import ROOT

_WRK_SCRIPT = Path(__file__).parent / "wrk.lua"


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement. Latencies are in milliseconds, CPU time is in microseconds a request."""

    rate: float
    microseconds: float
    # CPU time of the load generator itself.
    generator: float
    percentiles: dict[float, float]
    requests: int
    refused: int


def generator() -> str:
    """What makes the load: wrk, which takes the least of a core, or our own client."""
    return "wrk" if shutil.which("wrk") else "tools/bench/client.py"


def put_load(
    rig: Rig, server: Server, requests: Path, connections: int, *, refused: bool = False, rate: float = 0.0
) -> Sample:
    """Keep so many connections busy for the rig's seconds, or send at a `rate` a second on them.

    SystemExit if a response is not the expected one.
    """
    command = _command(server.port, requests, connections, rig.sizes.seconds, rate)
    before, own = server.cpu_seconds(), _children_seconds()
    with placed_on(rig.cores.others):
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    spent, own = server.cpu_seconds() - before, _children_seconds() - own
    said = json.loads(done.stdout.splitlines()[-1])
    wrong = said["failures"] + (said["requests"] - said["refused"] if refused else said["refused"])
    if wrong or not said["requests"]:
        sys.exit(f"bench: {wrong} of {said['requests']} answers were not the expected ones: {done.stdout}")
    return Sample(
        rate=said["requests"] / said["seconds"],
        microseconds=spent / said["requests"] * 1e6,
        generator=own / said["requests"] * 1e6,
        percentiles=dict(said["percentiles"]),
        requests=said["requests"],
        refused=said["refused"],
    )


def _children_seconds() -> float:
    """User and system time of the programs that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _command(port: int, requests: Path, connections: int, seconds: float, rate: float) -> list[str]:
    if generator() == "wrk" and not rate:
        how = ["-t1", f"-c{connections}", f"-d{round(seconds)}s", "--timeout", "15s"]
        return ["wrk", *how, "-s", str(_WRK_SCRIPT), f"http://127.0.0.1:{port}", "--", str(requests)]
    how = ["--connections", str(connections), "--seconds", str(seconds), "--rate", str(rate)]
    return [sys.executable, "-m", "tools.bench.client", str(port), str(requests), *how]
