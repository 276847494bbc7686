"""One statement for many concurrent callers (a dataloader for reads, group commit for writes).

While a statement is under way, callers queue; when it returns, the next one serves all of them. There is no timer and
nothing to tune: alone, a caller's statement leaves at once; under load, one statement serves dozens of callers.
"""

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from app import log
from app.errors import DatabaseOutage, DatabaseSlow, LockTimeout, ServiceError

Item = TypeVar("Item")
Result = TypeVar("Result")

# What a batch may weigh, where an item weighs 1: more would make its callers wait for each other's rows longer than a
# round trip takes.
CAPACITY = 100


class Batcher(Generic[Item, Result]):
    """Serves items in batches, one batch at a time.

    `run` serves a batch; it returns a result for each item in order, or None for an item that has to be served alone,
    for instance because another transaction holds its row. `run_alone` serves one item; it runs once at a time, so that
    waits for locks take one connection. Items with the same `key` are never in one batch. A batch weighs at most
    `capacity`, but for a single item that weighs more.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Result | None]]],
        run_alone: Callable[[Item], Awaitable[Result]],
        *,
        key: Callable[[Item], Hashable] | None = None,
        weight: Callable[[Item], int] | None = None,
        capacity: int = CAPACITY,
    ) -> None:
        self._run = run
        self._run_alone = run_alone
        self._key = key
        self._weight = weight
        self._capacity = capacity
        self._queue: list[tuple[Item, asyncio.Future[Result | None]]] = []
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._alone: weakref.WeakValueDictionary[Hashable, _Alone] = weakref.WeakValueDictionary()

    async def submit(self, item: Item) -> Result:
        """The item's result; raises what its batch or, served alone, the item itself meets."""
        waiter: asyncio.Future[Result | None] = asyncio.get_running_loop().create_future()
        self._queue.append((item, waiter))
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        with log.timed("db_ms"):
            result = await waiter
        return await self.submit_alone(item) if result is None else result

    async def submit_alone(self, item: Item) -> Result:
        """The item's result, served by itself. Where one of its key waits for a lock in vain, those behind it fail."""
        key = self._key(item) if self._key else None
        alone = self._alone.setdefault(key, _Alone())
        with log.timed("db_ms"):
            await self._turn.acquire()
        try:
            if alone.error is not None:
                raise alone.error
            return await self._run_alone(item)
        except LockTimeout as error:
            alone.error = error
            self._alone.pop(key, None)
            raise
        finally:
            self._turn.release()

    async def _work(self) -> None:
        try:
            while self._queue:
                if batch := self._next_batch():
                    await self._serve(batch)
        finally:
            self._task = None

    def _next_batch(self) -> list[tuple[Item, asyncio.Future[Result | None]]]:
        """The oldest items that fit. What does not fit ends the batch, so that items of one key stay in their order."""
        # A caller who has left at the deadline was told that nothing was done.
        queue = [entry for entry in self._queue if not entry[1].done()]
        if self._key is None and self._weight is None and len(queue) <= self._capacity:
            self._queue = []
            return queue
        batch: list[tuple[Item, asyncio.Future[Result | None]]] = []
        rest, keys, left = [], set(), self._capacity
        for number, entry in enumerate(queue):
            key = self._key(entry[0]) if self._key else number
            if key in keys:
                rest.append(entry)
                continue
            left -= self._weight(entry[0]) if self._weight else 1
            if left < 0 and batch:
                rest += queue[number:]
                break
            keys.add(key)
            batch.append(entry)
        self._queue = rest
        return batch

    async def _serve(self, batch: list[tuple[Item, asyncio.Future[Result | None]]]) -> None:
        try:
            _resolve(batch, await self._run([item for item, _ in batch]))
        except (DatabaseOutage, DatabaseSlow, LockTimeout) as error:
            # Fail the callers queued behind this batch too: they would wait as long for the same error. Rows that are
            # locked are left out of a batch, so a batch that waits for a lock meets that of a whole table.
            queued, self._queue = self._queue, []
            _fail([*batch, *queued], error)
        except ServiceError:
            # One of the items cannot be served. Which one, each finds out alone.
            _resolve(batch, [None] * len(batch))
        except Exception as error:  # noqa: BLE001  # Every caller gets it, and it is logged as a bug.
            _fail(batch, error)


class _Alone:
    """What those of one key share while they are served alone."""

    def __init__(self) -> None:
        self.error: LockTimeout | None = None


def _resolve(batch: Sequence[tuple[object, asyncio.Future[Result | None]]], results: Sequence[Result | None]) -> None:
    for (_, waiter), result in zip(batch, results, strict=True):
        if not waiter.done():  # Its caller may have left.
            waiter.set_result(result)


def _fail(batch: Sequence[tuple[object, asyncio.Future[Result | None]]], error: Exception) -> None:
    for _, waiter in batch:
        if not waiter.done():
            waiter.set_exception(error)
