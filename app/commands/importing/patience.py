"""Repeats what failed, for as long as that may help."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from app import log
from app.errors import Rejected, Unavailable

Result = TypeVar("Result")

# How often the same is tried when something else than an outage is in the way.
TRIES = 4
# The run ends when nothing has worked for this time.
OUTAGE_SECONDS = 300.0
# How often a line says why it waits.
WAIT_LINE_SECONDS = 10.0


class Patience:
    """One run's; raises Unavailable for what a repetition does not help, OutageTooLong where no call works."""

    def __init__(self, outage_seconds: float = OUTAGE_SECONDS) -> None:
        self._outage_seconds = outage_seconds
        self._succeeded_at = monotonic()
        self._quiet_until = 0.0

    async def call(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """What `work` returns, at last."""
        tries = 0
        while True:
            try:
                result = await work()
            except Unavailable as error:
                tries += not error.is_outage
                is_everyones = isinstance(error, Rejected) and error.is_misconfiguration
                if is_everyones or monotonic() - self._succeeded_at > self._outage_seconds:
                    raise OutageTooLong(error.reason) from error
                if tries == TRIES or not error.is_transient:
                    raise
                if error.is_outage and monotonic() > self._quiet_until:
                    self._quiet_until = monotonic() + WAIT_LINE_SECONDS
                    log.error("import_waits", reason=error.reason)
                await asyncio.sleep(error.retry_after)
            else:
                self._succeeded_at = monotonic()
                return result


class OutageTooLong(Exception):
    """Backboard or the database does not do what is asked; the text is the reason."""
