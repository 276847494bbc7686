"""How fast backfill is beside the fastest that it could be: users x the time of Backboard / concurrency.

The time of Backboard is measured in the same run, by a bare client that makes the same call with as many at a time. A
second run over the same users shows what running it again costs. Both include the start of python -m app.
"""

import asyncio
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx

from tools.bench import database, servers
from tools.bench.cores import placed_on
from tools.bench.figures import Figure, at_most, compared
from tools.bench.rig import Rig
from tools.processes import ROOT
from tools.sandbox.backboard import LOCAL_KEY, Sandbox
from tools.sandbox.clerk import LOCAL_KEY as CLERK_KEY
from tools.sandbox.clerk import Clerk

_CONCURRENCY = 5
# Latency of Backboard in seconds, and how many users there are then for each of the rig's sign-ups.
_ROUNDS = ((0.1, 2), (0.0, 5))


def run(rig: Rig) -> Iterator[Figure]:
    url = database.populated(rig, 0)
    with Sandbox() as sandbox, Clerk() as clerk:
        variables = servers.variables(
            url,
            sandbox.url,
            CLERK_SECRET_KEY=CLERK_KEY,
            CLERK_API_URL=clerk.url,
            PROVISIONING_CONCURRENCY=str(_CONCURRENCY),
        )
        for latency, share in _ROUNDS:
            clerk.reset()
            count = rig.sizes.sign_ups * share
            for _ in range(count):
                clerk.add_user()
            sandbox.reset()
            sandbox.switches.latency = latency
            yield from _at(rig, latency, count, variables, sandbox)


def _at(rig: Rig, latency: float, count: int, variables: dict[str, str], sandbox: Sandbox) -> Iterator[Figure]:
    bare = asyncio.run(_bare_creates(sandbox.url, count))
    first = _command(rig, variables)
    creates = len(sandbox.calls(kind="create")) - count
    again = _command(rig, variables)
    what = f"{count:,} users, {_CONCURRENCY} at a time, Backboard at {latency * 1000:.0f} ms"
    yield compared(what, "s", [first], [bare], against="the bare calls")
    yield compared("  assistants made", "", [creates], [count], against="users", bar=at_most(1))
    yield compared("  the same again", "s", [again], [first], against="the first run")


async def _bare_creates(url: str, count: int) -> float:
    """Seconds for as many creates with as many at a time and nothing else."""
    names = iter([f"bare:{secrets.token_hex(8)}" for _ in range(count)])

    async def create_some(client: httpx.AsyncClient) -> None:
        for name in names:
            (await client.post("/assistants", json={"name": name})).raise_for_status()

    headers = {"X-API-Key": LOCAL_KEY}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=20, trust_env=False) as client:
        started = time.perf_counter()
        await asyncio.gather(*(create_some(client) for _ in range(_CONCURRENCY)))
        return time.perf_counter() - started


def _command(rig: Rig, variables: dict[str, str]) -> float:
    """Seconds that a backfill takes; SystemExit when it fails."""
    started = time.perf_counter()
    with placed_on(rig.cores.server):
        done = subprocess.run(
            [sys.executable, "-m", "app", "backfill"],
            cwd=ROOT,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
    spent = time.perf_counter() - started
    if done.returncode != 0:
        sys.exit(f"bench: backfill ended with {done.returncode}: {done.stdout}{done.stderr}")
    return spent
