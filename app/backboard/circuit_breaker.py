"""Remembers that Backboard is down, so that new users are refused in milliseconds and existing ones not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from time import monotonic
from typing import Literal

from app.errors import CircuitOpen

FAILURES = 5
# A Backboard that is down is asked again soon; one that refuses our key or account needs a person.
PAUSE_SECONDS = 5.0
REFUSED_PAUSE_SECONDS = 30.0


class CircuitBreaker:
    """Opens after five failures in a row, then admits one probe; a success closes it again. Open: calls are refused.

    A `kind` is the HTTP method: while lookups work and creates do not, a lookup says nothing about creates.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._failing: set[str] = set()
        self._open_until = 0.0
        self._throttled_until = 0.0
        self._probing_until = 0.0

    @property
    def state(self) -> Literal["closed", "open", "probing"]:
        """`open` while calls are refused; `probing` when the next one, or the one under way, decides."""
        now = monotonic()
        if max(self._open_until, self._throttled_until) > now:
            return "open"
        return "closed" if self._failures < FAILURES else "probing"

    def raise_if_open(self) -> None:
        """Raise CircuitOpen while Backboard is known to be down."""
        left = max(self._open_until, self._throttled_until, self._probing_until) - monotonic()
        if left > 0:
            raise CircuitOpen(retry_after=ceil(left))

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Admit one caller, who is the probe if one is due; other callers wait for the probe's end.

        A probe that ends without a verdict, by adopting an assistant for instance, lets the next caller be the probe.
        """
        self.raise_if_open()
        if self._failures < FAILURES:
            yield
            return
        self._probing_until = until = monotonic() + PAUSE_SECONDS
        try:
            yield
        finally:
            # Another probe may be under way by now, if this one was overdue.
            if self._probing_until == until:
                self._probing_until = 0.0

    def succeeded(self, kind: str) -> None:
        # A create that works proves everything; anything else proves nothing while creates fail.
        if kind == "POST" or "POST" not in self._failing:
            self._probing_until = 0.0
            self._failures = 0
            self._failing.clear()
            self._open_until = 0.0

    def failed(self, kind: str, *, refused: bool = False) -> None:
        """Count a failure; `refused` is a 401, 402 or 403."""
        self._failures += 1
        self._failing.add(kind)
        self._probing_until = 0.0
        if self._failures >= FAILURES:
            self._open_until = monotonic() + (REFUSED_PAUSE_SECONDS if refused else PAUSE_SECONDS)

    def throttled(self, seconds: float) -> None:
        """Backboard said 429: no call is made before `seconds` have passed."""
        self._probing_until = 0.0
        self._throttled_until = monotonic() + seconds
