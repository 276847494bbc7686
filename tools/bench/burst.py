"""A burst of sign-ups: how close it comes to the limit that Backboard sets, and how much it slows lookups down.

The sender delivers everything at once and, as a queue does, repeats a delivery that got a 503 after its Retry-After. It
has so many deliveries under way that the service always has to refuse some.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from app.clerk.signatures import sign
from app.commands.trigger import PATH, Message, sample
from tools.bench import database, servers, traffic
from tools.bench.figures import Figure, at_most, compared
from tools.bench.rig import Rig
from tools.bench.servers import Server
from tools.processes import ROOT
from tools.sandbox.backboard import Sandbox

_CONNECTIONS = 8
_LATENCY = 0.3
_SENDERS = 64
# The lookups beside it, a second.
_RATE = 200
_LOOKUP_CONNECTIONS = 8


@dataclass(slots=True)
class Sender:
    """Delivers messages until each has a 2xx; `refusals` counts the 503s before."""

    client: httpx.AsyncClient
    refusals: int = 0
    other: list[int] = field(default_factory=list)

    async def drain(self, messages: list[Message]) -> float:
        """Seconds until the last message is settled."""
        began = time.perf_counter()
        under_way = asyncio.Semaphore(_SENDERS)
        await asyncio.gather(*(self._deliver(message, under_way) for message in messages))
        return time.perf_counter() - began

    async def _deliver(self, message: Message, under_way: asyncio.Semaphore) -> None:
        while True:
            async with under_way:
                headers = sign(servers.SECRET, message.svix_id, int(time.time()), message.body)
                answer = await self.client.post(
                    PATH, content=message.body, headers=headers | {"content-type": "application/json"}
                )
            if answer.status_code != 503:
                break
            self.refusals += 1
            await asyncio.sleep(float(answer.headers["retry-after"]))
        if answer.status_code != 200:
            self.other.append(answer.status_code)


def run(rig: Rig) -> Iterator[Figure]:
    count = rig.sizes.burst
    url = database.populated(rig, rig.sizes.users)
    with Sandbox() as sandbox:
        variables = servers.variables(url, sandbox.url, PROVISIONING_CONCURRENCY=str(_CONNECTIONS))
        requests = traffic.existing_users(rig.folder / "requests", rig.sizes.users)
        with servers.started(servers.OURS, variables, rig.cores.server) as server:
            with _lookups(server, requests, rig.sizes.seconds * rig.sizes.rounds) as idle:
                pass
            sandbox.switches.latency = _LATENCY
            bound = count * _LATENCY / _CONNECTIONS
            with _lookups(server, requests, bound) as beside:
                sender, seconds = asyncio.run(_send(server, count))
    if sender.other:
        sys.exit(f"bench: deliveries ended with {sender.other}")
    creates = len(sandbox.calls(kind="create"))
    what = f"{count:,} sign-ups, {_CONNECTIONS} at a time"
    yield compared(what, "s", [seconds], [bound], against="300 ms for each", bar=at_most(1.1))
    what = "  answered 503 and repeated"
    yield compared(what, "", [sender.refusals], [count], against="sign-ups")
    yield compared("  assistants made", "", [creates], [count], against="sign-ups", bar=at_most(1))
    what = f"lookups beside it, {_RATE} a second, p99"
    yield compared(what, "ms", [beside[99]], [idle[99]], against="idle", bar=at_most(3))


async def _send(server: Server, count: int) -> tuple[Sender, float]:
    limits = httpx.Limits(max_connections=_SENDERS)
    url = f"http://127.0.0.1:{server.port}"
    async with httpx.AsyncClient(base_url=url, timeout=15.0, limits=limits, trust_env=False) as client:
        sender = Sender(client)
        messages = [Message(sample("user.created")) for _ in range(count)]
        return sender, await sender.drain(messages)


@contextmanager
def _lookups(server: Server, requests: Path, seconds: float) -> Iterator[dict[float, float]]:
    """Look up existing users at an even rate for so many seconds; the result is filled in at the end."""
    how = ["--connections", str(_LOOKUP_CONNECTIONS), "--seconds", str(seconds), "--rate", str(_RATE)]
    command = [sys.executable, "-m", "tools.bench.client", str(server.port), str(requests), *how]
    result: dict[float, float] = {}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as client:
        yield result
        said = json.loads(client.communicate()[0])
    if said["refused"] or said["failures"]:
        sys.exit(f"bench: lookups beside a burst failed: {said}")
    result.update(dict(said["percentiles"]))
