"""Exact faults at exact places, which random ones would rarely hit; each with a user of its own."""

import asyncio
from time import monotonic

from tools.chaos import backboard_proxy, postgres_faults
from tools.chaos.cluster import Cluster
from tools.chaos.faults import Faults
from tools.chaos.nemesis import KILL_BUSY
from tools.chaos.servers import Server
from tools.chaos.vanishing import Vanishing
from tools.chaos.violation import Violation
from tools.chaos.workload import PREFIX, Event, User, created, deleted, updated

# Longer than a second delivery takes to reach the lock, shorter than the lock's limit.
SLOW_SECONDS = 1.5
HEAD_START = 0.4
NEWCOMERS = 12
CONNECTIONS = 5
HANGING_SECONDS = 5.0
# What a transaction is recognised by.
_ATTEMPT, _ROW, _TOMBSTONE = "INSERT INTO provisioning_attempts", "INSERT INTO users", "INSERT INTO deleted_users"


class Scenarios:
    """Two that need free connections, then the others at once, then one that needs a server for itself."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._first, self._second = cluster.servers.all[:2]
        self._postgres, self._backboard = cluster.postgres_faults, cluster.backboard_faults

    async def run(self) -> None:
        self._cluster.backboard_proxy.slow_seconds = SLOW_SECONDS
        await asyncio.gather(self._race(), self._deletion_while_provisioning())
        await asyncio.gather(
            *(self._create(self._postgres, action, _ROW) for action in postgres_faults.ON_COMMIT),
            *(self._create(self._postgres, action, _ATTEMPT) for action in postgres_faults.ON_COMMIT),
            *(self._create(self._backboard, action) for action in backboard_proxy.ON_REQUEST),
            *(self._delete(action) for action in postgres_faults.ON_COMMIT),
            self._out_of_order(),
            self._deletion_first(),
            self._vanished(),
        )
        self._cluster.backboard_proxy.slow_seconds = None
        await self._hanging_backboard()

    def _user(self, *events: Event) -> User:
        return self._cluster.workload.add(User(events[0].clerk_id, events))

    async def _race(self) -> None:
        """A slow Backboard, two processes, one user: only one of them creates."""
        clerk_id = self._cluster.workload.new_clerk_id()
        event = created(clerk_id)
        self._user(event)
        self._backboard.plan(backboard_proxy.SLOW, clerk_id)
        await asyncio.gather(
            self._cluster.sender.deliver(event, to=self._first),
            self._later(event, self._second),
        )
        made = len(self._cluster.sandbox.made(PREFIX + clerk_id))
        if made != 1:
            self._cluster.noticed.append(Violation("duplicate", f"{made} creates for {clerk_id}, without any fault"))

    async def _deletion_while_provisioning(self) -> None:
        """Another process gets the deletion while the assistant is being made."""
        clerk_id = self._cluster.workload.new_clerk_id()
        user = self._user(created(clerk_id), deleted(clerk_id))
        self._backboard.plan(backboard_proxy.SLOW, clerk_id)
        await asyncio.gather(
            self._cluster.sender.deliver(user.events[0], to=self._first),
            self._later(user.events[1], self._second),
        )

    async def _later(self, event: Event, server: Server) -> None:
        await asyncio.sleep(HEAD_START)
        await self._cluster.sender.deliver(event, to=server, actor="later")

    async def _create(self, faults: Faults, action: str, *statement: str) -> None:
        """A sign-up whose create, or one of whose COMMITs, meets this fault."""
        clerk_id = self._cluster.workload.new_clerk_id()
        user = self._user(created(clerk_id))
        faults.plan(action, clerk_id, *statement)
        await self._cluster.sender.deliver(user.events[0])

    async def _delete(self, action: str) -> None:
        """A deletion whose COMMIT meets this fault."""
        clerk_id = self._cluster.workload.new_clerk_id()
        user = self._user(created(clerk_id), deleted(clerk_id))
        await self._cluster.sender.deliver(user.events[0])
        self._postgres.plan(action, clerk_id, _TOMBSTONE)
        await self._cluster.sender.deliver(user.events[1])

    async def _out_of_order(self) -> None:
        clerk_id = self._cluster.workload.new_clerk_id()
        user = self._user(created(clerk_id), updated(clerk_id, 2), updated(clerk_id, 1))
        for event in user.events:
            await self._cluster.sender.deliver(event)

    async def _deletion_first(self) -> None:
        clerk_id = self._cluster.workload.new_clerk_id()
        user = self._user(deleted(clerk_id), created(clerk_id))
        for event in user.events:
            await self._cluster.sender.deliver(event)

    async def _vanished(self) -> None:
        """Backboard loses an assistant between two calls."""
        clerk_id = self._cluster.workload.new_clerk_id()
        user = self._user(created(clerk_id))
        await self._cluster.sender.deliver(user.events[0])
        await Vanishing(self._cluster).of(clerk_id)

    async def _hanging_backboard(self) -> None:
        """Backboard hangs and every provisioning connection of a server is taken: existing users are served."""
        sender, server, faults = self._cluster.sender, self._first, self._backboard
        clerk_id = self._cluster.workload.new_clerk_id()
        user = self._user(created(clerk_id), *(updated(clerk_id, step) for step in range(1, CONNECTIONS + 1)))
        await sender.deliver(user.events[0], to=server)
        rng = self._cluster.workload.random_for(clerk_id)
        before = faults.tally.counts[backboard_proxy.HANG]
        hanging = []
        for _ in range(NEWCOMERS):
            newcomer = self._user(created(self._cluster.workload.new_clerk_id()))
            faults.plan(backboard_proxy.HANG, newcomer.clerk_id)
            hanging.append(asyncio.create_task(sender.try_once(newcomer.events[0], rng, to=server)))
        give_up_at = monotonic() + HANGING_SECONDS
        # The proxy counts, and cannot set an event.
        while faults.tally.counts[backboard_proxy.HANG] < before + CONNECTIONS and monotonic() < give_up_at:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        answers = [await sender.ensure(clerk_id, rng, to=server)]
        answers += [await sender.try_once(event, rng, to=server) for event in user.events[1:]]
        self._cluster.noticed += [
            Violation("starved", f"{one.kind} of {clerk_id}: {one.status}") for one in answers if one.result != "ok"
        ]
        await self._kill_first()
        await asyncio.gather(*hanging)
        faults.forget_plans()

    async def _kill_first(self) -> None:
        """Its requests hang, and its circuit breaker is open."""
        self._cluster.tally.add(KILL_BUSY)
        await self._cluster.servers.kill(self._first)
        await self._cluster.servers.start(self._first)
