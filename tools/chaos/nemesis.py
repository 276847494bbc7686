"""The nemesis breaks things while the storm is on: each actor has random numbers and a pace of its own."""

import asyncio
from collections.abc import Awaitable, Callable

from tools.chaos.cluster import Cluster
from tools.chaos.servers import Server
from tools.chaos.vanishing import Vanishing
from tools.chaos.violation import Violation
from tools.sandbox.backboard.faults import status

KILL = "kill -9 of a server"
KILL_BUSY = "kill -9 of a server with a request under way"
TERMINATE = "SIGTERM and restart"
CRASH = "database crash"
LOSE_POSTMASTER = "database crash, kill -9 of the postmaster"
CLEAN_ENDS = (0, -15)

# The shortest and the longest wait before an actor strikes again, in seconds.
KILL_EVERY = (0.12, 0.42)
TERMINATE_EVERY = (2.0, 5.0)
CRASH_EVERY = (4.0, 8.0)
REFUSE_EVERY = (5.0, 10.0)
THROTTLE_EVERY = (6.0, 12.0)
VANISH_EVERY = (0.5, 2.0)


class Nemesis:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._over = asyncio.Event()
        self._vanishing = Vanishing(cluster, in_storm=True)

    async def run(self, seconds: float) -> None:
        """Break things for so long; returns when everything that was broken works again."""
        asyncio.get_running_loop().call_later(seconds, self._over.set)
        self._set_storm(on=True)
        await asyncio.gather(
            self._act("killer", KILL_EVERY, self._kill),
            self._act("terminator", TERMINATE_EVERY, self._terminate),
            self._act("crasher", CRASH_EVERY, self._crash),
            self._act("refuser", REFUSE_EVERY, self._refuse),
            self._act("limiter", THROTTLE_EVERY, self._throttle),
            self._act("remover", VANISH_EVERY, self._vanishing.strike),
        )
        self._cluster.sandbox.clear()
        self._set_storm(on=False)
        await self._vanishing.finish()

    def _set_storm(self, *, on: bool) -> None:
        for faults in (self._cluster.postgres_faults, self._cluster.backboard_faults):
            faults.storm = on

    async def _act(self, actor: str, every: tuple[float, float], strike: Callable[[float], Awaitable[None]]) -> None:
        rng = self._cluster.workload.random_for(actor)
        while not self._over.is_set():
            try:
                await asyncio.wait_for(self._over.wait(), rng.uniform(*every))
            except TimeoutError:
                await strike(rng.random())

    def _choose(self, number: float) -> Server | None:
        alive = [server for server in self._cluster.servers.all if server.pid]
        return alive[int(number * len(alive))] if alive else None

    async def _kill(self, number: float) -> None:
        server = self._choose(number)
        if server is None:
            return
        self._cluster.tally.add(KILL_BUSY if server.in_flight else KILL)
        await self._cluster.servers.kill(server)
        await self._cluster.servers.start(server)

    async def _terminate(self, number: float) -> None:
        server = self._choose(number)
        if server is None:
            return
        self._cluster.tally.add(TERMINATE)
        code = await self._cluster.servers.stop(server)
        if code not in CLEAN_ENDS:
            self._cluster.noticed.append(Violation("stuck", f"a server ended with {code} after SIGTERM"))
        await self._cluster.servers.start(server)

    async def _crash(self, number: float) -> None:
        if number < 0.25:
            self._cluster.tally.add(LOSE_POSTMASTER)
            await self._cluster.database.lose_postmaster()
        else:
            self._cluster.tally.add(CRASH)
            await self._cluster.database.crash()

    async def _refuse(self, number: float) -> None:
        await self._cluster.backboard_proxy.refuse(0.1 + number)

    async def _throttle(self, number: float) -> None:
        """Backboard answers 429 to all calls, or fails although it has done its work."""
        sandbox = self._cluster.sandbox
        if number < 0.5:
            sandbox.always("any", status(429, retry_after="1"))
        else:
            sandbox.always("any", status(500, after_commit=True))
        await asyncio.sleep(number)
        sandbox.clear()
