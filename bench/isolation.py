"""What Backboard's troubles cost somebody who has an assistant: the same call beside itself, on an idle day.

One known user is asked for, one call after another, while new users storm in from a process of their own. Each trouble
is measured between two idle rounds of the same run, and its ratio is to the slower of them. The same storm with a
Backboard that works says how much of a ratio is the storm's own: client, server and Postgres share the cores.
"""

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles

from bench.provision import server, timed
from local.backboard import Sandbox
from local.backboard_faults import Fault, behaves, hangs, slow, status
from local.postgres import Postgres

ROOT = Path(__file__).parent.parent
TOKEN = secrets.token_hex(16)
SECONDS = 3.0
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
    "slow (3 s)": slow(3.0),
    "hangs": hangs(),
    "500": status(500),
    "429": status(429, retry_after="1"),
    "refuses": None,
}


def run() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        Postgres(Path(folder) / "data") as postgres,
        Sandbox() as sandbox,
        server(postgres.url(), sandbox.url, SERVICE_TOKENS=TOKEN) as port,
    ):
        client = HTTPConnection("127.0.0.1", port, timeout=20)
        known = json.dumps({"clerk_id": f"user_{secrets.token_hex(12)}"}).encode()
        timed(client, "/ensure-user", known, _headers(), 201)
        _measure(client, known)
        print(
            f"\nisolation: one known user, {STORM_PER_SECOND} new ones a second, {os.cpu_count()} cores; milliseconds"
        )
        print(
            f"{'Backboard':>12} {'idle p50':>9} {'p99':>6} {'storm p50':>10} {'p99':>6} {'ratios p50':>11} {'p99':>6}"
        )
        for name, fault in TROUBLES.items():
            sandbox.clear()
            before = _measure(client, known)
            with _trouble(sandbox, fault), _storm(port):
                during = _measure(client, known)
            sandbox.clear()
            _print_round(name, before, during, _measure(client, known))


def _print_round(name: str, before: list[float], during: list[float], after: list[float]) -> None:
    idle = [max(one, other) for one, other in zip(_figures(before), _figures(after), strict=True)]
    p50, p99 = _figures(during)
    ratios = f"{p50 / idle[0]:11.1f} {p99 / idle[1]:6.1f}"
    print(f"{name:>12} {idle[0]:9.2f} {idle[1]:6.2f} {p50:10.2f} {p99:6.2f} {ratios}")


def _figures(spent: list[float]) -> tuple[float, float]:
    return median(spent), quantiles(spent, n=100)[-1]


def _measure(client: HTTPConnection, known: bytes) -> list[float]:
    end_at = time.monotonic() + SECONDS
    spent = []
    while time.monotonic() < end_at:
        spent.append(timed(client, "/ensure-user", known, _headers()))
    return spent


def _headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKEN}"}


def _trouble(sandbox: Sandbox, fault: Fault | None) -> AbstractContextManager[None]:
    if fault is None:
        return sandbox.refuse_connections()
    sandbox.always("any", fault)
    return nullcontext()


@contextmanager
def _storm(port: int) -> Iterator[None]:
    """New users from another process, so that the one that measures does nothing else."""
    words = [sys.executable, "-c", _STORM, f"http://127.0.0.1:{port}", TOKEN, str(1 / STORM_PER_SECOND)]
    storm = subprocess.Popen(words, cwd=ROOT)
    try:
        yield
    finally:
        storm.kill()
        storm.wait()
