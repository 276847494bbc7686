"""A wave of sign-ups: one that is measured beside the simulation of it, and larger ones that are simulated.

What is measured: one process gets three times as many sign-ups as it can serve, from a sender that repeats what is
refused after 1, 2, 4 ... seconds. What is simulated beyond it: 1,000 sign-ups a second for a minute, from Clerk's
sender with its real schedule, which takes 27 hours.
"""

import asyncio
import random
import time
from collections.abc import Iterator
from typing import NamedTuple

import httpx

from app.clerk.signatures import sign
from app.commands.trigger import PATH, Message, sample
from tools.bench import database, servers
from tools.bench.figures import Figure, compared
from tools.bench.rig import Rig
from tools.bench.servers import Server
from tools.bench.sign_up_simulation import SVIX, Outcome, Schedule, Service, Simulation
from tools.sandbox.backboard import Sandbox

SLOTS, LATENCY = 8, 0.3
# A sign-up's own part, as the suite `provision` measures it beside a partner of 300 ms on a machine of its own.
OWN_SECONDS = 0.0055
OVERLOAD = 3
SCHEDULE = Schedule((1, 2, 4, 8, 16, 32, 64))
# As many as the simulation of the measured wave is repeated with other random numbers.
SEEDS = 5
A_SECOND = 1_000
# The default of PROVISIONING_CONCURRENCY.
DEFAULT_SLOTS = 5
SOON = 10
PROCESSES = (1, 4, 16, 32, 64, 72)


def run(rig: Rig) -> Iterator[Figure]:
    yield from _measured(rig)
    yield from _simulated(rig)


def _measured(rig: Rig) -> Iterator[Figure]:
    count = rig.sizes.burst
    rate = OVERLOAD * SLOTS / LATENCY
    arrivals = [number / rate for number in range(count)]
    with Sandbox() as sandbox:
        sandbox.switches.latency = LATENCY
        url = database.populated(rig, 1)
        variables = servers.variables(url, sandbox.url, PROVISIONING_CONCURRENCY=str(SLOTS))
        with servers.started(servers.OURS, variables, rig.cores.server) as server:
            wave = asyncio.run(_deliver(server, arrivals))
    real = wave.outcome
    # What a sign-up takes of this machine while all slots are busy; the simulation has to find out the rest.
    seconds = real.until(0.5) * SLOTS / (count / 2)
    service = Service(1, SLOTS, seconds)
    simulated = [Simulation(service, SCHEDULE, seed).run(wave.sent) for seed in range(SEEDS)]
    yield compared("a sign-up while all slots are busy", "s", [seconds], [LATENCY], against="the partner")
    what = f"{count:,} at {rate:.0f} a second, 1 process"
    for share, name in ((0.5, "half in"), (0.9, "90 %"), (1.0, "all")):
        times = [one.until(share) for one in simulated]
        yield compared(f"{what}: {name}", "s", [real.until(share)] * SEEDS, times, against="simulated")
    refusals = [one.refusals for one in simulated]
    yield compared("  answered 503", "", [real.refusals] * SEEDS, refusals, against="simulated")
    yield compared("  given up", "", [real.given_up], [simulated[0].given_up], against="simulated")


class _Wave(NamedTuple):
    """What became of it, and when each delivery was first sent, which is late where the machine is busy."""

    outcome: Outcome
    sent: list[float]


async def _deliver(server: Server, arrivals: list[float]) -> _Wave:
    wave, rng = _Wave(Outcome(), []), random.Random(1)
    outcome = wave.outcome
    limits = httpx.Limits(max_connections=None)
    url = f"http://127.0.0.1:{server.port}"
    async with httpx.AsyncClient(base_url=url, timeout=15.0, limits=limits, trust_env=False) as client:
        began = time.perf_counter()

        async def deliver(arrival: float) -> None:
            message, failures = Message(sample("user.created")), 0
            await asyncio.sleep(began + arrival - time.perf_counter())
            wave.sent.append(time.perf_counter() - began)
            while True:
                headers = sign(servers.SECRET, message.svix_id, int(time.time()), message.body)
                headers |= {"content-type": "application/json"}
                answer = await client.post(PATH, content=message.body, headers=headers)
                if answer.is_success:
                    outcome.seconds.append(time.perf_counter() - began)
                    return
                outcome.refusals += 1
                failures += 1
                delay = SCHEDULE.delay(failures, float(answer.headers["retry-after"]), rng)
                if delay is None:
                    outcome.given_up += 1
                    return
                await asyncio.sleep(delay)

        await asyncio.gather(*map(deliver, arrivals))
    return wave


def _simulated(rig: Rig) -> Iterator[Figure]:
    """Of the whole wave, how many came in at the first attempts, and when the last one did."""
    arrivals = [number / A_SECOND for number in range(rig.sizes.wave)]
    lasting = rig.sizes.wave / A_SECOND
    for processes in PROCESSES:
        service = Service(processes, DEFAULT_SLOTS, LATENCY + OWN_SECONDS)
        outcome = Simulation(service, SVIX, seed=1).run(arrivals)
        what = f"{rig.sizes.wave:,} in {lasting:.0f} s, {processes} x {DEFAULT_SLOTS} slots"
        against = "without a pause"
        needed = max(lasting, len(arrivals) * service.seconds / (processes * DEFAULT_SLOTS))
        for share, name in ((0.5, "half in"), (0.99, "99 %"), (1.0, "all")):
            yield compared(f"{what}: {name}", "s", [outcome.until(share)], [share * needed], against=against)
        share = outcome.share_by(lasting + SOON)
        yield compared(f"  in within {SOON} s of the last sign-up", "", [share], [1.0], against="all of them")
        yield compared("  answered 503", "", [outcome.refusals], [len(arrivals)], against="sign-ups")
        yield compared("  given up after eight attempts", "", [outcome.given_up], [len(arrivals)], against="sign-ups")
