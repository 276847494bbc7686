"""What dice would take long to hit: one exact fault at one exact place, each with a user of its own."""

import asyncio
from time import monotonic

from tools.chaos import backboard_proxy, postgres_proxy
from tools.chaos.checker import Violation
from tools.chaos.faults import Faults
from tools.chaos.lives import PREFIX, Life, Message, created, deleted, updated
from tools.chaos.nemesis import KILL_BUSY
from tools.chaos.servers import Server
from tools.chaos.stand import Stand

# Longer than a second delivery takes to reach the lock, shorter than the lock's limit.
SLOW_SECONDS = 1.5
HEAD_START = 0.4
NEWCOMERS = 12
PLACES = 5
HANGING_SECONDS = 5.0
# By which a transaction is known.
_NOTE, _ROW, _TOMBSTONE = "INSERT INTO provisioning_attempts", "INSERT INTO users", "INSERT INTO deleted_users"


class Scenarios:
    """The two that need free places, then the others at once, and then the one that needs a server for itself."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._first, self._second = stand.servers.all[:2]
        self._at_postgres, self._at_backboard = stand.postgres_proxy.faults, stand.backboard_proxy.faults

    async def run(self) -> None:
        self._stand.backboard_proxy.slow_seconds = SLOW_SECONDS
        await asyncio.gather(self._rivals(), self._deletion_while_provisioning())
        await asyncio.gather(
            *(self._create(self._at_postgres, action, _ROW) for action in postgres_proxy.ON_COMMIT),
            *(self._create(self._at_postgres, action, _NOTE) for action in postgres_proxy.ON_COMMIT),
            *(self._create(self._at_backboard, action) for action in backboard_proxy.ON_REQUEST),
            *(self._delete(action) for action in postgres_proxy.ON_COMMIT),
            self._out_of_order(),
            self._deletion_first(),
        )
        self._stand.backboard_proxy.slow_seconds = None
        await self._hanging_partner()

    def _life(self, *messages: Message) -> Life:
        return self._stand.population.add(Life(messages[0].clerk_id, messages))

    async def _rivals(self) -> None:
        """A slow partner, two processes, one user: only one of them creates."""
        clerk_id = self._stand.population.clerk_id()
        message = created(clerk_id)
        self._life(message)
        self._at_backboard.plan(backboard_proxy.SLOW, clerk_id)
        await asyncio.gather(
            self._stand.sender.deliver(message, to=self._first),
            self._later(message, self._second),
        )
        made = len(self._stand.sandbox.made(PREFIX + clerk_id))
        if made != 1:
            self._stand.seen.append(Violation("duplicate", f"{made} creates for {clerk_id}, without any fault"))

    async def _deletion_while_provisioning(self) -> None:
        """The deletion comes to another process while the assistant is being made."""
        clerk_id = self._stand.population.clerk_id()
        life = self._life(created(clerk_id), deleted(clerk_id))
        self._at_backboard.plan(backboard_proxy.SLOW, clerk_id)
        await asyncio.gather(
            self._stand.sender.deliver(life.messages[0], to=self._first),
            self._later(life.messages[1], self._second),
        )

    async def _later(self, message: Message, server: Server) -> None:
        await asyncio.sleep(HEAD_START)
        await self._stand.sender.deliver(message, to=server, actor="later")

    async def _create(self, faults: Faults, action: str, *statement: str) -> None:
        """A sign-up whose create, or one of whose COMMITs, meets this fault."""
        clerk_id = self._stand.population.clerk_id()
        life = self._life(created(clerk_id))
        faults.plan(action, clerk_id, *statement)
        await self._stand.sender.deliver(life.messages[0])

    async def _delete(self, action: str) -> None:
        """A deletion whose COMMIT meets this fault."""
        clerk_id = self._stand.population.clerk_id()
        life = self._life(created(clerk_id), deleted(clerk_id))
        await self._stand.sender.deliver(life.messages[0])
        self._at_postgres.plan(action, clerk_id, _TOMBSTONE)
        await self._stand.sender.deliver(life.messages[1])

    async def _out_of_order(self) -> None:
        clerk_id = self._stand.population.clerk_id()
        life = self._life(created(clerk_id), updated(clerk_id, 2), updated(clerk_id, 1))
        for message in life.messages:
            await self._stand.sender.deliver(message)

    async def _deletion_first(self) -> None:
        clerk_id = self._stand.population.clerk_id()
        life = self._life(deleted(clerk_id), created(clerk_id))
        for message in life.messages:
            await self._stand.sender.deliver(message)

    async def _hanging_partner(self) -> None:
        """Backboard hangs and every place of a server is taken: who has a row is served all the same."""
        sender, server, faults = self._stand.sender, self._first, self._at_backboard
        clerk_id = self._stand.population.clerk_id()
        life = self._life(created(clerk_id), *(updated(clerk_id, step) for step in range(1, PLACES + 1)))
        await sender.deliver(life.messages[0], to=server)
        dice = self._stand.population.dice_of(clerk_id)
        before = faults.tally.counts[backboard_proxy.HANG]
        hanging = []
        for _ in range(NEWCOMERS):
            newcomer = self._life(created(self._stand.population.clerk_id()))
            faults.plan(backboard_proxy.HANG, newcomer.clerk_id)
            hanging.append(asyncio.create_task(sender.try_once(newcomer.messages[0], dice, to=server)))
        give_up_at = monotonic() + HANGING_SECONDS
        # The proxy counts, and knows of nobody who waits.
        while faults.tally.counts[backboard_proxy.HANG] < before + PLACES and monotonic() < give_up_at:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        answers = [await sender.ensure(clerk_id, dice, to=server)]
        answers += [await sender.try_once(message, dice, to=server) for message in life.messages[1:]]
        self._stand.seen += [
            Violation("starved", f"{one.kind} of {clerk_id}: {one.status}") for one in answers if one.result != "ok"
        ]
        await self._kill_first()
        await asyncio.gather(*hanging)
        faults.forget_plans()

    async def _kill_first(self) -> None:
        """Its requests hang, and it believes that Backboard is down."""
        self._stand.tally.add(KILL_BUSY)
        await self._stand.servers.kill(self._first)
        await self._stand.servers.start(self._first)
