"""Assistants that vanish from Backboard, as a person at its dashboard deletes them, and what becomes of their users.

For half of them the chat backend opens a session afterwards, which must get the user another assistant; the others are
left to `reconcile --apply`, after which every live user has one (tools.chaos.checker).
"""

import asyncio

from tools.chaos.cluster import Cluster
from tools.chaos.violation import Violation
from tools.chaos.workload import PREFIX

VANISHED = "assistant vanishes from Backboard"
# Without other faults. During the storm a session is asked for until one is opened, or the storm is over.
TRIES = 20
# Of the living ones, or this many: where more than 5 % are gone, reconcile takes the key for another account's.
SHARE, FEW = 0.02, 3


class Vanishing:
    def __init__(self, cluster: Cluster, *, in_storm: bool = False) -> None:
        self._cluster = cluster
        self._in_storm = in_storm
        self._opening: set[asyncio.Task[None]] = set()

    async def strike(self, number: float) -> None:
        """Take any living assistant, also one that no row names yet."""
        alive = self._cluster.sandbox.alive()
        if not alive or len(self._cluster.vanished) >= max(FEW, SHARE * len(alive)):
            return
        assistant = alive[int(number * len(alive))]
        clerk_id = assistant.name.removeprefix(PREFIX)
        self._take(assistant.id)
        user = self._cluster.workload.users.get(clerk_id)
        if user is not None and not user.is_deleted and int(number * 1000) % 2:
            self._opening.add(asyncio.create_task(self.open_session(clerk_id, assistant.id)))

    async def of(self, clerk_id: str) -> None:
        """Take the assistant of this user, who then opens a session."""
        for assistant in self._cluster.sandbox.alive(PREFIX + clerk_id):
            self._take(assistant.id)
            await self.open_session(clerk_id, assistant.id)

    async def open_session(self, clerk_id: str, lost_id: str) -> None:
        """The user's next session gets them another assistant, once nothing else is in its way."""
        rng = self._cluster.workload.random_for(f"{lost_id} vanished")
        user, tries = self._cluster.workload.users.get(clerk_id), 0
        while (await self._cluster.sender.open_session(clerk_id, rng, key=lost_id)).result != "ok":
            if user is not None and user.is_deleted:
                return
            tries += not self._in_storm
            if tries == TRIES:
                stuck = f"no session for {clerk_id} after the assistant vanished"
                self._cluster.noticed.append(Violation("stuck", stuck))
                return
            await asyncio.sleep(rng.uniform(0.2, 1.0))
        ensured = await self._cluster.sender.ensure(clerk_id, rng)
        if ensured.assistant_id == lost_id:
            self._cluster.noticed.append(Violation("dangling", f"{clerk_id} -> {lost_id}, after a session was opened"))

    async def finish(self) -> None:
        """The storm is over: wait for the sessions."""
        self._in_storm = False
        await asyncio.gather(*self._opening)

    def _take(self, assistant_id: str) -> None:
        self._cluster.vanished.add(assistant_id)
        self._cluster.sandbox.delete_assistant(assistant_id)
        self._cluster.tally.add(VANISHED)
