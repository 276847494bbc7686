"""Who breaks things while the storm is on: each actor with a dice and a pace of its own."""

import asyncio
from collections.abc import Awaitable, Callable

from tools.chaos.checker import Violation
from tools.chaos.stand import Stand
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


class Nemesis:
    """Strikes until `over` is set."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._over = asyncio.Event()

    async def run(self, seconds: float) -> None:
        """The whole storm; returns when everything that was struck has been started again."""
        asyncio.get_running_loop().call_later(seconds, self._over.set)
        for proxy in (self._stand.postgres_proxy, self._stand.backboard_proxy):
            proxy.faults.storm = True
        await asyncio.gather(
            self._act("killer", KILL_EVERY, self._kill),
            self._act("terminator", TERMINATE_EVERY, self._terminate),
            self._act("crasher", CRASH_EVERY, self._crash),
            self._act("door", REFUSE_EVERY, self._refuse),
            self._act("limiter", THROTTLE_EVERY, self._throttle),
        )
        self._stand.sandbox.clear()
        for proxy in (self._stand.postgres_proxy, self._stand.backboard_proxy):
            proxy.faults.storm = False

    async def _act(self, actor: str, every: tuple[float, float], strike: Callable[[float], Awaitable[None]]) -> None:
        dice = self._stand.population.dice_of(actor)
        while not self._over.is_set():
            try:
                await asyncio.wait_for(self._over.wait(), dice.uniform(*every))
            except TimeoutError:
                await strike(dice.random())

    async def _kill(self, rolled: float) -> None:
        alive = [server for server in self._stand.servers.all if server.pid]
        if not alive:
            return
        server = alive[int(rolled * len(alive))]
        self._stand.tally.add(KILL_BUSY if server.in_flight else KILL)
        await self._stand.servers.kill(server)
        await self._stand.servers.start(server)

    async def _terminate(self, rolled: float) -> None:
        alive = [server for server in self._stand.servers.all if server.pid]
        if not alive:
            return
        server = alive[int(rolled * len(alive))]
        self._stand.tally.add(TERMINATE)
        code = await self._stand.servers.stop(server)
        if code not in CLEAN_ENDS:
            self._stand.seen.append(Violation("stuck", f"a server ended with {code} after SIGTERM"))
        await self._stand.servers.start(server)

    async def _crash(self, rolled: float) -> None:
        if rolled < 0.25:
            self._stand.tally.add(LOSE_POSTMASTER)
            await self._stand.database.lose_postmaster()
        else:
            self._stand.tally.add(CRASH)
            await self._stand.database.crash()

    async def _refuse(self, rolled: float) -> None:
        await self._stand.backboard_proxy.refuse(0.1 + rolled)

    async def _throttle(self, rolled: float) -> None:
        """Backboard asks everybody to wait, or fails although it has done its work."""
        sandbox = self._stand.sandbox
        if rolled < 0.5:
            sandbox.always("any", status(429, retry_after="1"))
        else:
            sandbox.always("any", status(500, after_commit=True))
        await asyncio.sleep(rolled)
        sandbox.clear()
