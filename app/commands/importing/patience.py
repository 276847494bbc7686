"""Repeats what failed, for as long as that may help."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from app import log
from app.errors import Unavailable

Result = TypeVar("Result")

# How often the same is tried when something else than an outage is in the way.
TRIES = 4
# The run ends when nothing has worked for this time.
OUTAGE_SECONDS = 300.0


class Patience:
    """One run's; raises Unavailable for what a repetition does not help, and OutageTooLong for an outage."""

    def __init__(self, outage_seconds: float = OUTAGE_SECONDS) -> None:
        self._outage_seconds = outage_seconds
        self._succeeded_at = monotonic()

    async def call(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """What `work` returns, at last."""
        tries = 0
        while True:
            try:
                result = await work()
            except Unavailable as error:
                tries += not error.is_outage
                if not error.is_transient or monotonic() - self._succeeded_at > self._outage_seconds:
                    raise OutageTooLong(error.reason) from error
                if tries == TRIES:
                    raise
                log.warning("import_waits", reason=error.reason)
                await asyncio.sleep(error.retry_after)
            else:
                self._succeeded_at = monotonic()
                return result


class OutageTooLong(Exception):
    """Backboard or the database does not do what is asked; the text is the reason."""
