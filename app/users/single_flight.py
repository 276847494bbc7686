"""One run of a piece of work for all who want the same at the same time, as Go's `singleflight` does it."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class SingleFlight(Generic[Result]):
    """Callers of one key share one run; it goes on when its callers are cancelled."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[Result]] = {}

    def is_running(self, key: str) -> bool:
        return key in self._tasks

    async def run(self, key: str, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """The result of the run under way, or of a new one, which begins before this first waits."""
        task = self._tasks.get(key)
        if task is None:
            self._tasks[key] = task = asyncio.create_task(work())
            task.add_done_callback(partial(self._remove, key))
        return await asyncio.shield(task)

    async def close(self, seconds: float) -> None:
        """Wait for the runs under way, at most `seconds`."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=seconds)

    def _remove(self, key: str, task: asyncio.Task[Result]) -> None:
        del self._tasks[key]
        if not task.cancelled():
            # Marks the exception as retrieved, since every caller may have left.
            task.exception()
