"""What Backboard's troubles cost somebody who has an assistant: the same call beside itself, on an idle day.

One known user is asked for, one call after another, while new users storm in from a process of their own. Each trouble
is measured between two idle rounds of the same run, and its ratio is to the slower of them. The same storm with a
Backboard that works says how much of a ratio is the storm's own: client, server and Postgres share the cores.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from http.client import HTTPConnection
from statistics import median, quantiles

from tools.bench import database, servers
from tools.bench.figures import Figure, compared
from tools.bench.provision import timed
from tools.bench.rig import Rig
from tools.processes import ROOT
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import status
from tools.sandbox.faults import Fault, behaves, hangs, slow

# New users a second: far more than five places can serve of a slow Backboard, and little for a core.
STORM_PER_SECOND = 20

_STORM = """
import asyncio, itertools, secrets, sys
import httpx

async def main(url, token, pause):
    async def sign_up():
        body = {"clerk_id": "user_" + secrets.token_hex(12)}
        try:
            await client.post("/ensure-user", json=body)
        except httpx.HTTPError:
            pass

    limits = httpx.Limits(max_connections=None)
    headers = {"Authorization": "Bearer " + token}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=20, limits=limits, trust_env=False) as client:
        under_way = set()
        while True:
            task = asyncio.create_task(sign_up())
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            await asyncio.sleep(pause)

asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
"""

# None: its port takes no connection.
TROUBLES: dict[str, Fault | None] = {
    "works": behaves(),
    "takes 3 s": slow(3.0),
    "hangs": hangs(),
    "says 500": status(500),
    "says 429": status(429, retry_after="1"),
    "refuses": None,
}


def run(rig: Rig) -> Iterator[Figure]:
    url = database.populated(rig, rig.sizes.users)
    with (
        Sandbox() as sandbox,
        servers.started(servers.OURS, servers.variables(url, sandbox.url), rig.cores.server) as server,
        closing(HTTPConnection("127.0.0.1", server.port, timeout=20)) as client,
    ):
        seconds = 2 * rig.sizes.seconds
        _measure(client, seconds)
        idle = _measure(client, seconds)
        for name, fault in TROUBLES.items():
            with _trouble(sandbox, fault), _storm(server.port):
                during = _measure(client, seconds)
            sandbox.clear()
            before, idle = idle, _measure(client, seconds)
            for which, place in (("p50", 0), ("p99", 1)):
                slower = max(_figures(before)[place], _figures(idle)[place])
                what = f"a lookup while Backboard {name}, {which}"
                yield compared(what, "ms", [_figures(during)[place]], [slower], against="idle")


def _figures(spent: list[float]) -> tuple[float, float]:
    return median(spent), quantiles(spent, n=100)[-1]


def _measure(client: HTTPConnection, seconds: float) -> list[float]:
    """Milliseconds of each of the calls for one known user that follow one another for so long."""
    known = json.dumps({"clerk_id": database.clerk_id(1)}).encode()
    end_at = time.monotonic() + seconds
    spent: list[float] = []
    while time.monotonic() < end_at or len(spent) < 2:
        spent.append(timed(client, "/ensure-user", known, {"Authorization": f"Bearer {servers.TOKEN}"}))
    return spent


def _trouble(sandbox: Sandbox, fault: Fault | None) -> AbstractContextManager[None]:
    if fault is None:
        return sandbox.refuse_connections()
    sandbox.always("any", fault)
    return nullcontext()


@contextmanager
def _storm(port: int) -> Iterator[None]:
    """New users from another process, so that the one that measures does nothing else."""
    words = [sys.executable, "-c", _STORM, f"http://127.0.0.1:{port}", servers.TOKEN, str(1 / STORM_PER_SECOND)]
    storm = subprocess.Popen(words, cwd=ROOT)
    try:
        yield
    finally:
        storm.kill()
        storm.wait()
