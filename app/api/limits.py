"""How often a signed-in user may do what costs money or much time: a token bucket for each user and purpose.

A service token has no limit, since the chat backend asks for all of its users. The buckets are those of one process.
"""

from collections.abc import Callable
from itertools import islice
from math import ceil
from time import monotonic
from typing import NamedTuple

from app.errors import TooManyRequests
from app.settings import Settings

# Beyond so many users, the bucket that was used longest ago is forgotten, full or not.
MAX_BUCKETS = 10_000


class UserLimit:
    """`most` at once, and as many again in the course of `seconds`; with 0 there is no limit.

    A bucket is kept as the time at which it is full again. A full one is forgotten, so memory is bounded.
    """

    def __init__(self, most: int, seconds: float, *, clock: Callable[[], float] = monotonic) -> None:
        self._seconds = seconds
        self._seconds_each = seconds / most if most else 0.0
        self._clock = clock
        # In the order of their last use.
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, clerk_id: str | None) -> None:
        """Take a token; TooManyRequests if there is none. None is a service token."""
        if clerk_id is None or not self._seconds_each:
            return
        now = self._clock()
        full_at = max(now, self._full_at.get(clerk_id, now))
        wait = full_at + self._seconds_each - self._seconds - now
        if wait > 0.001:  # noqa: PLR2004  # Floats are not exact.
            raise TooManyRequests(ceil(wait))
        self._keep(clerk_id, full_at + self._seconds_each)
        self._forget(now)

    def charge(self, clerk_id: str | None, tokens: int) -> None:
        """Take more tokens for what has been let in already. Those that are not there are owed."""
        if clerk_id is not None and tokens and self._seconds_each:
            now = self._clock()
            self._keep(clerk_id, max(now, self._full_at.get(clerk_id, now)) + tokens * self._seconds_each)

    def _keep(self, clerk_id: str, full_at: float) -> None:
        self._full_at.pop(clerk_id, None)
        self._full_at[clerk_id] = full_at

    def _forget(self, now: float) -> None:
        """Forget up to two of the buckets that were used longest ago, so that there are never many full ones."""
        for clerk_id in list(islice(self._full_at, 2)):
            if self._full_at[clerk_id] <= now or len(self._full_at) > MAX_BUCKETS:
                del self._full_at[clerk_id]


class UserLimits(NamedTuple):
    """The limits of each signed-in user."""

    sessions: UserLimit
    messages: UserLimit
    searches: UserLimit


def build_user_limits(settings: Settings) -> UserLimits:
    return UserLimits(
        sessions=UserLimit(settings.user_sessions_per_hour, 3600),
        messages=UserLimit(settings.user_messages_per_minute, 60),
        searches=UserLimit(settings.user_searches_per_minute, 60),
    )
