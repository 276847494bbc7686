"""Asking a partner again: what only reads may be repeated, and one bad answer must not end a long run."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.errors import Unavailable

Answer = TypeVar("Answer")

# Seconds before each further try; a partner that names a time of its own is given that.
PAUSES = (1.0, 2.0, 4.0)
REFUSALS = frozenset({"clerk_refused", "backboard_refused"})
THROTTLED = frozenset({"clerk_throttled", "backboard_throttled"})


async def ask_patiently(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """The answer, asked for a few times; Unavailable at once when it is our key that is refused."""
    for pause in PAUSES:
        try:
            return await ask()
        except Unavailable as error:
            if error.reason in REFUSALS:
                raise
            await asyncio.sleep(error.retry_after if error.reason in THROTTLED else pause)
    return await ask()
