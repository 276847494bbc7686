"""When a call is sent again. Every call may be: messages have ids, and sessions are opened under a key."""

import random
import time
from dataclasses import dataclass
from http import HTTPStatus

from .problems import Failure, Problem

_PASSING = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}


@dataclass(frozen=True)
class Retries:
    """At most so many tries of a call, and no wait that would end later than so many seconds after its beginning.

    The first wait is `first_wait` seconds where no Retry-After says it; each further one is twice as long.
    """

    tries: int = 5
    seconds: float = 60.0
    first_wait: float = 1.0


DEFAULT = Retries()


class Attempts:
    """The tries of one call."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries
        self._end = time.monotonic() + retries.seconds
        self._made = 0

    def wait_after(self, failure: Failure) -> float:
        """Seconds until the next try; raises the failure when there is none.

        A wait is a quarter longer at most than it has to be, at random, so that callers who failed together do not
        come back together.
        """
        self._made += 1
        failure.tries = self._made
        if self._made >= self._retries.tries or (isinstance(failure, Problem) and failure.status not in _PASSING):
            raise failure
        seconds = failure.retry_after
        if seconds is None:
            seconds = self._retries.first_wait * 2.0 ** (self._made - 1)
        seconds *= random.uniform(1, 1.25)  # noqa: S311  # No secret.
        if time.monotonic() + seconds > self._end:
            raise failure
        return seconds
