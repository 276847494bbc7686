"""What has to happen by some time, or else something is done."""

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable


class Due:
    """One expectation at a time; to set, move or lift it costs no timer.

    A connection has another one with every request, and a timer for each would cost as much as reading it. So the timer
    that runs looks at what is due when it fires, and a new one is set only for what is due before that.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._at: float | None = None
        self._otherwise: Callable[[], object] = self.lift
        self._timer: TimerHandle | None = None
        self._timer_at = 0.0

    def within(self, seconds: float, otherwise: Callable[[], object]) -> None:
        """Expect something within so many seconds, in the place of what was expected before."""
        self._at, self._otherwise = self._loop.time() + seconds, otherwise
        if self._timer is None or self._at < self._timer_at:
            self._set_timer(self._at)

    def lift(self) -> None:
        """Expect nothing."""
        self._at = None

    def close(self) -> None:
        """Expect nothing any more."""
        self._at = None
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(at, self._look), at

    def _look(self) -> None:
        self._timer = None
        if self._at is None:
            return
        if self._loop.time() < self._at:
            self._set_timer(self._at)
        else:
            self._at = None
            self._otherwise()
