"""What can go wrong with one call to a stand-in, and the plan that says which call it happens to.

A fault says three independent things: when the work is done (`Commit`), what the response is turned into (`alter`), and
how the response travels (`Wire`). So "a 500 although the assistant exists" and "the right response, cut in the middle"
are two small values, not two servers. What only Backboard or only Clerk can say stands in their own `faults`.
"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from gzip import compress
from typing import Any

from tools.sandbox.http import Response

# Stands where a fault lets no response out.
NO_RESPONSE = Response(500, b"")


class Commit(Enum):
    """When the work of the call is done, relative to the fault's pause."""

    AFTER_PAUSE = auto()
    BEFORE_PAUSE = auto()
    IN_BACKGROUND = auto()
    NEVER = auto()


class Wire(Enum):
    """How the response travels."""

    WHOLE = auto()
    NOT_AT_ALL = auto()
    CLOSED = auto()
    RESET = auto()
    CUT = auto()
    HEAD_DRIPS = auto()
    BODY_DRIPS = auto()
    EARLY_HINTS = auto()


_SILENT = {Wire.NOT_AT_ALL, Wire.CLOSED, Wire.RESET}


@dataclass(frozen=True, slots=True)
class Fault:
    """One misbehaviour. The pause lasts `seconds`, and then until `gate` is set, where there is one."""

    name: str
    commit: Commit = Commit.AFTER_PAUSE
    seconds: float = 0.0
    gate: threading.Event | None = None
    alter: Callable[[Response], Response] | None = None
    wire: Wire = Wire.WHOLE
    pace: float = 0.05
    # Backboard's own: see `tools.sandbox.backboard.faults`.
    earlier_id: bool = False
    twice: bool = False
    forgets: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def is_answered(self) -> bool:
        """Whether any part of a response is sent."""
        return self.wire not in _SILENT

    def altered(self, response: Response) -> Response:
        return self.alter(response) if self.alter else response

    async def pause(self) -> None:
        await asyncio.sleep(self.seconds)
        # The gate is a thread's event, since it is set in another event loop, or in none.
        while self.gate is not None and not self.gate.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


def fault(name: str, *, after_commit: bool, **fields: Any) -> Fault:
    """A fault whose work is done before the pause, or never."""
    suffix = "_after_commit" if after_commit else ""
    return Fault(name + suffix, commit=Commit.BEFORE_PAUSE if after_commit else Commit.NEVER, **fields)


def behaves() -> Fault:
    """No fault: lets a call through in the middle of a queue."""
    return Fault("")


def redirect(location: str) -> Fault:
    moved = Response(307, b"", (("Location", location),))
    return fault("redirect", after_commit=False, alter=lambda _: moved)


def hangs(*, after_commit: bool = False) -> Fault:
    """Never responds; the connection stays until the client leaves."""
    return fault("hangs", after_commit=after_commit, wire=Wire.NOT_AT_ALL)


def drops(*, after_commit: bool = False) -> Fault:
    """Closes the connection instead of responding."""
    return fault("drops", after_commit=after_commit, wire=Wire.CLOSED)


def resets(*, after_commit: bool = False) -> Fault:
    """As `drops`, with a TCP reset."""
    return fault("resets", after_commit=after_commit, wire=Wire.RESET)


def slow(seconds: float, *, after_commit: bool = False) -> Fault:
    """The right response, late; the work is done at the end (or the start), whether the client waits or not."""
    commit = Commit.BEFORE_PAUSE if after_commit else Commit.AFTER_PAUSE
    return Fault("slow", commit=commit, seconds=seconds)


def held(gate: threading.Event, *, after_commit: bool = False) -> Fault:
    """As `slow`, until `gate` is set: for tests that say exactly what happens meanwhile."""
    return replace(slow(0, after_commit=after_commit), name="held", gate=gate)


def late(seconds: float) -> Fault:
    """Closes the connection at once, and does the work `seconds` after that."""
    return Fault("late", commit=Commit.IN_BACKGROUND, seconds=seconds, wire=Wire.CLOSED)


def cuts() -> Fault:
    """Does the work, announces the whole body and closes in the middle of it."""
    return Fault("cuts", wire=Wire.CUT)


def drips(*, head: bool = False, pace: float = 0.05) -> Fault:
    """The right response, a byte every `pace` seconds: the body, or already the head."""
    wire = Wire.HEAD_DRIPS if head else Wire.BODY_DRIPS
    return Fault("drips_head" if head else "drips", wire=wire, pace=pace)


def hints(*, pace: float = 0.05) -> Fault:
    """Does the work, then says 103 Early Hints every `pace` seconds until the client leaves."""
    return Fault("hints", wire=Wire.EARLY_HINTS, pace=pace)


def empty() -> Fault:
    return Fault("empty", alter=lambda response: replace(response, body=b""))


def garbage(body: bytes = b"[{]") -> Fault:
    """The right status with a body that is not what it should be."""
    return Fault("garbage", alter=lambda response: replace(response, body=body))


def gzipped() -> Fault:
    """Compressed, although the client asked for identity."""
    return Fault("gzipped", alter=_gzipped)


def _gzipped(response: Response) -> Response:
    headers = (*response.headers, ("Content-Encoding", "gzip"))
    return replace(response, body=compress(response.body), headers=headers)


@dataclass(frozen=True, slots=True)
class _Planned:
    """A fault that waits for a call of its kind; `where` judges the name that the call is about."""

    kind: str
    fault: Fault
    where: Callable[[str], bool] | None

    def fits(self, kind: str, name: str) -> bool:
        return self.kind in {kind, "any"} and (self.where is None or self.where(name))


class FaultPlan:
    """Faults that wait for the next calls, and those that stand until they are cleared. Planned from any thread."""

    def __init__(self, kinds: tuple[str, ...]) -> None:
        self._kinds = kinds
        self._queued: list[_Planned] = []
        self._standing: list[_Planned] = []

    def next(self, kind: str, *faults: Fault, where: Callable[[str], bool] | None = None) -> None:
        """Plan one fault each for the next calls of this kind, in order."""
        self._queued += [self._planned(kind, fault, where) for fault in faults]

    def always(self, kind: str, fault: Fault, *, where: Callable[[str], bool] | None = None) -> None:
        """Plan a fault for every call of this kind that no queued one waits for, until `clear`."""
        self._standing.insert(0, self._planned(kind, fault, where))

    def clear(self) -> None:
        """Behave again."""
        self._queued.clear()
        self._standing.clear()

    def take(self, kind: str, name: str = "") -> Fault:
        """The fault of a call that has just arrived; a queued one is used up."""
        for planned in self._queued:
            if planned.fits(kind, name):
                self._queued.remove(planned)
                return planned.fault
        return next((planned.fault for planned in self._standing if planned.fits(kind, name)), behaves())

    def _planned(self, kind: str, fault: Fault, where: Callable[[str], bool] | None) -> _Planned:
        if kind not in self._kinds:
            raise ValueError(f"{kind} is not one of {', '.join(self._kinds)}")
        return _Planned(kind, fault, where)
