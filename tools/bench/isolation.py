"""What Backboard's outages cost an existing user: the same call during an outage and without one.

One known user is looked up, one call after another, while another process signs up new users. Each outage is measured
between two idle rounds of the same run, and its ratio is to the slower of them. The same sign-ups with a Backboard that
works show which part of a ratio is their own: client, server and Postgres share the cores.
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

# New users a second: far more than five connections can provision with a slow Backboard, and little for a core.
SIGN_UPS_PER_SECOND = 20

_SIGN_UP = """
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

# None: its port refuses connections.
OUTAGES: dict[str, Fault | None] = {
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
        for name, fault in OUTAGES.items():
            with _outage(sandbox, fault), _sign_ups(server.port):
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


def _outage(sandbox: Sandbox, fault: Fault | None) -> AbstractContextManager[None]:
    if fault is None:
        return sandbox.refuse_connections()
    sandbox.always("any", fault)
    return nullcontext()


@contextmanager
def _sign_ups(port: int) -> Iterator[None]:
    """Sign up new users from another process, so that the one that measures does nothing else."""
    words = [sys.executable, "-c", _SIGN_UP, f"http://127.0.0.1:{port}", servers.TOKEN, str(1 / SIGN_UPS_PER_SECOND)]
    signing_up = subprocess.Popen(words, cwd=ROOT)
    try:
        yield
    finally:
        signing_up.kill()
        signing_up.wait()
