"""How fast backfill is beside the fastest that it could be: users x what the partner takes / concurrency.

The partner's share is measured in the same run, by a bare client that makes the same call with as many at a time. A
second run over the same users shows what running it again costs.
"""

import asyncio
import base64
import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from local.backboard import LOCAL_KEY, Sandbox
from local.clerk import LOCAL_KEY as CLERK_KEY
from local.clerk import Clerk
from local.postgres import Postgres

ROOT = Path(__file__).parent.parent
CONCURRENCY = 5
# Partner latency in seconds, and how many users are there then.
ROUNDS = ((0.1, 300), (0.0, 2000))


def run() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        Postgres(Path(folder) / "data") as postgres,
        Sandbox() as sandbox,
        Clerk() as clerk,
    ):
        environment = _environment(postgres.url(), sandbox.url, clerk.url)
        _command("migrate", environment)
        start = _command("--help", environment)
        print(f"\nbackfill: {CONCURRENCY} users at a time, {os.cpu_count()} cores shared by everything; seconds")
        print(f"starting python -m app takes {start:.2f}; the runs below include it")
        print(
            f"{'partner set to':>15} {'users':>6} {'bound':>7} {'bare calls':>11} {'backfill':>9} {'again':>7} creates"
        )
        for latency, count in ROUNDS:
            _print_round(latency, count, environment, sandbox, clerk)


def _print_round(latency: float, count: int, environment: dict[str, str], sandbox: Sandbox, clerk: Clerk) -> None:
    clerk.reset()
    for _ in range(count):
        clerk.add_user()
    sandbox.reset()
    sandbox.switches.latency = latency
    bare = asyncio.run(_bare_creates(sandbox.url, count))
    first = _command("backfill", environment)
    creates = len(sandbox.calls(kind="create")) - count
    again = _command("backfill", environment)
    bound = count * latency / CONCURRENCY
    print(f"{latency * 1000:12.0f} ms {count:6} {bound:7.2f} {bare:11.2f} {first:9.2f} {again:7.2f} {creates:7}")


async def _bare_creates(url: str, count: int) -> float:
    """Seconds for as many creates with as many at a time and nothing else."""
    names = iter([f"bare:{secrets.token_hex(8)}" for _ in range(count)])

    async def create_some(client: httpx.AsyncClient) -> None:
        for name in names:
            (await client.post("/assistants", json={"name": name})).raise_for_status()

    headers = {"X-API-Key": LOCAL_KEY}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=20, trust_env=False) as client:
        started = time.perf_counter()
        await asyncio.gather(*(create_some(client) for _ in range(CONCURRENCY)))
        return time.perf_counter() - started


def _command(name: str, environment: dict[str, str]) -> float:
    """Seconds that a command takes; SystemExit when it fails."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "app", name], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    spent = time.perf_counter() - started
    if done.returncode != 0:
        sys.exit(f"bench: {name} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return spent


def _environment(database_url: str, backboard_url: str, clerk_url: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "BACKBOARD_API_KEY": LOCAL_KEY,
        "BACKBOARD_API_URL": backboard_url,
        "CLERK_SECRET_KEY": CLERK_KEY,
        "CLERK_API_URL": clerk_url,
        "CLERK_WEBHOOK_SIGNING_SECRET": "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode(),
        "PROVISIONING_CONCURRENCY": str(CONCURRENCY),
    }
