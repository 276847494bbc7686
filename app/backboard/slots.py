"""The border to Backboard: how much is asked of it at a time, and that nothing is while it is known to be down."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import ceil
from time import monotonic

from app.backboard.circuit_breaker import CircuitBreaker
from app.backboard.models import LONGEST_WAIT
from app.deadline import Deadline
from app.errors import PoolSaturated, ProvisioningSaturated
from app.postgres.pipeline import Connection
from app.postgres.pool import Pool

# A slot is free again after about as long as Backboard takes, so a burst is better waited out than refused: what is
# refused comes back a second later at the earliest, and slots stand empty meanwhile.
SLOT_TIMEOUT = 4.0
DELETION_SLOT_TIMEOUT = 2.0


class ProvisioningSlots:
    """One slot for each connection of the provisioning pool: an assistant or a thread is made with one open.

    `provisioning_slot` gives the connection. Raises CircuitOpen, ProvisioningSaturated or DatabaseUnavailable.
    """

    def __init__(self, pool: Pool, breaker: CircuitBreaker) -> None:
        self._pool = pool
        self._breaker = breaker
        # Of late; the last ones count most.
        self._average_seconds = 1.0

    @asynccontextmanager
    async def provisioning_slot(self, deadline: Deadline) -> AsyncIterator[Connection]:
        """Wait for a slot; at the end, what is open on its connection is rolled back."""
        self._breaker.raise_if_open()
        try:
            connection = await self._pool.acquire(deadline.left(SLOT_TIMEOUT))
        except PoolSaturated as error:
            raise ProvisioningSaturated(retry_after=self._expected_wait()) from error
        try:
            # Checked again, since the wait may have been long.
            with self._breaker.admitted():
                started = monotonic()
                yield connection
                self._average_seconds = (self._average_seconds + monotonic() - started) / 2
        finally:
            await self._pool.release(connection)

    def _expected_wait(self) -> int:
        turns = self._pool.stats()["waiting"] // self._pool.size + 1
        return min(LONGEST_WAIT, ceil(turns * self._average_seconds))


class DeletionSlots:
    """As many deletions ask Backboard at a time as there are slots; they hold no connection meanwhile."""

    def __init__(self, size: int, breaker: CircuitBreaker) -> None:
        self._semaphore = asyncio.Semaphore(size)
        self._breaker = breaker

    @asynccontextmanager
    async def deletion_slot(self, deadline: Deadline) -> AsyncIterator[None]:
        """Wait for a slot; CircuitOpen or ProvisioningSaturated."""
        try:
            await asyncio.wait_for(self._semaphore.acquire(), deadline.left(DELETION_SLOT_TIMEOUT))
        except TimeoutError:
            raise ProvisioningSaturated from None
        try:
            with self._breaker.admitted():
                yield
        finally:
            self._semaphore.release()
