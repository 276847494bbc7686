"""How often a signed-in user may ask: a token bucket for each user and purpose.

Every request of theirs is a read or a write (app.api.auth takes that token); what costs money or much time has a bucket
of its own besides. A service token has no limit, since the chat backend asks for all of its users. The buckets are
those of one process.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from math import ceil
from time import monotonic
from typing import NamedTuple

from app.errors import DatabaseSlow, TooManyRequests
from app.settings import Settings

# Beyond so many users, the bucket that was used longest ago is forgotten, full or not.
MAX_BUCKETS = 10_000
# A search or a count that ran into its limit of time counts as so many: others have waited for it.
SLOW_SEARCH = 20


@dataclass(slots=True)
class Reservation:
    """How many of the tokens that were charged at first a request has used."""

    used: int = 0


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

    @contextmanager
    def reserve(self, clerk_id: str | None, most: int) -> Iterator[Reservation]:
        """Charge the most tokens that a request may take besides its own, and give back in the end what it did not use.

        So many requests at once cannot use more than one after the other.
        """
        reservation = Reservation()
        self.charge(clerk_id, most)
        try:
            yield reservation
        finally:
            self.charge(clerk_id, reservation.used - most)

    def charge(self, clerk_id: str | None, tokens: int) -> None:
        """Take more tokens for what has been let in already, or give back. Those that are not there are owed."""
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
    """The limits of each signed-in user; `reads` and `writes` of all requests, the others of some."""

    reads: UserLimit
    writes: UserLimit
    sessions: UserLimit
    messages: UserLimit
    searches: UserLimit

    @contextmanager
    def search(self, clerk_id: str | None) -> Iterator[None]:
        """Take the token of a search, and more of them once it has taken too long.

        Not before: a person who types has many under way, all but the last of which their client gives up. Those of one
        user run one after the other, and few of them within the time for which one may wait.
        """
        self.searches.take(clerk_id)
        try:
            yield
        except DatabaseSlow:
            self.searches.charge(clerk_id, SLOW_SEARCH - 1)
            raise


def build_user_limits(settings: Settings) -> UserLimits:
    return UserLimits(
        reads=UserLimit(settings.user_reads_per_minute, 60),
        writes=UserLimit(settings.user_writes_per_minute, 60),
        sessions=UserLimit(settings.user_sessions_per_hour, 3600),
        messages=UserLimit(settings.user_messages_per_minute, 60),
        searches=UserLimit(settings.user_searches_per_minute, 60),
    )
