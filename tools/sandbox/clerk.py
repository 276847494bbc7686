"""A stand-in of Clerk's Backend API: a server that follows it, and misbehaves on request.

The tests start theirs, and steer it from Python: `add_user`, `remove_user`, `switches`, and `next` or `always` with a
fault of `backboard_faults` or one of those below.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from tools.sandbox import backboard_wire as wire
from tools.sandbox.backboard_faults import Commit, Fault, Wire, behaves
from tools.sandbox.backboard_messages import Reply, Request
from tools.sandbox.clerk_directory import Directory, error_reply
from tools.sandbox.loopback import HOST, Loopback

LOCAL_KEY = "sk_test_local"
KINDS = ("list", "count", "user", "any")
NO_REPLY = Reply(500, b"")
SILENT = {Wire.NOT_AT_ALL, Wire.CLOSED, Wire.RESET}


def refuses(status: int, code: str = "made_up", *, retry_after: str = "") -> Fault:
    """An error in Clerk's words instead of the answer."""
    headers = (("Retry-After", retry_after),) if retry_after else ()
    reply = error_reply(status, code, *headers)
    return Fault(str(status), commit=Commit.NEVER, alter=lambda _: reply)


def garbage(body: bytes = b"[{]") -> Fault:
    """A 200 with a body that is not what it should be."""
    return Fault("garbage", alter=lambda reply: replace(reply, body=body))


@dataclass(slots=True)
class Call:
    """One call, in the order of arrival; `status` is None while, or when, nothing was answered."""

    kind: str
    target: str
    headers: dict[str, str]
    at: float
    fault: str
    status: int | None = None


class Clerk(Directory, Loopback):
    """An instance of Clerk on loopback. Port 0 takes any free one."""

    name = "clerk-stand-in"

    def __init__(self, keys: Iterable[str] = (LOCAL_KEY,), port: int = 0) -> None:
        Directory.__init__(self, keys)
        Loopback.__init__(self, port)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}/v1"

    def reset(self) -> None:
        """Forget users, switches, faults and calls."""
        with self._changed:
            super().reset()
            self._calls: list[Call] = []
            self._blocked_until: dict[str, float] = {}
            self.clear()

    def clear(self) -> None:
        """Behave again: drop the faults that wait and those that stand."""
        with self._changed:
            self._queued: list[tuple[str, Fault]] = []
            self._standing: list[tuple[str, Fault]] = []
            self._blocked_until.clear()

    def next(self, kind: str, *faults: Fault) -> None:
        """One fault each for the next calls of this kind, in order."""
        with self._changed:
            self._queued += [(_checked(kind), fault) for fault in faults]

    def always(self, kind: str, fault: Fault) -> None:
        """A fault for every call of this kind that no queued one is waiting for, until `clear`."""
        with self._changed:
            self._standing.insert(0, (_checked(kind), fault))

    def throttle(self, kind: str, seconds: int) -> None:
        """Answer 429 to calls of this kind until `seconds` after the first of them, as Clerk's limiter does."""
        self.next(kind, refuses(429, "too_many_requests", retry_after=str(seconds)))

    def calls(self, kind: str | None = None) -> list[Call]:
        with self._changed:
            return [call for call in self._calls if kind in {None, call.kind}]

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await wire.read_request(reader)
        if request is None:
            return False
        call, fault = self._arrive(request)
        await asyncio.sleep(fault.seconds)
        # The gate is a thread's event, since whoever sets it is in another loop, or in none.
        while fault.gate is not None and not fault.gate.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        reply = NO_REPLY if fault.commit is Commit.NEVER else self.work(request)
        if fault.alter:
            reply = fault.alter(reply)
        if fault.wire not in SILENT:
            call.status = reply.status
        goes_on = await wire.send(writer, reader, reply, fault, head_only=request.method == "HEAD")
        return goes_on and request.keeps_alive

    def _arrive(self, request: Request) -> tuple[Call, Fault]:
        """Write the call down and find its fault."""
        with self._changed:
            target = f"{request.path}?{request.raw_query}" if request.raw_query else request.path
            call = Call(_kind(request.path), target, request.headers, time.monotonic(), "")
            self._calls.append(call)
            fault = self._fault(call)
            call.fault = fault.name
            return call, fault

    def _fault(self, call: Call) -> Fault:
        left = self._blocked_until.get(call.kind, 0.0) - call.at
        if left > 0:
            # Clerk's limiter goes on refusing whoever comes back before the time it named.
            return refuses(429, "too_many_requests", retry_after=str(round(left) + 1))
        for place, (kind, fault) in enumerate(self._queued):
            if kind in {call.kind, "any"}:
                del self._queued[place]
                return self._blocking(call, fault)
        return next((fault for kind, fault in self._standing if kind in {call.kind, "any"}), behaves())

    def _blocking(self, call: Call, fault: Fault) -> Fault:
        if fault.name == "429" and fault.alter:
            waits = dict(fault.alter(NO_REPLY).headers).get("Retry-After", "")
            if waits.isdigit():
                self._blocked_until[call.kind] = call.at + int(waits[:6])
        return fault


def _kind(path: str) -> str:
    parts = path.removeprefix("/v1").split("/")[1:]
    if parts[:1] != ["users"]:
        return "any"
    return "list" if len(parts) == 1 else "count" if parts[1] == "count" else "user"


def _checked(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"{kind} is not one of {', '.join(KINDS)}")
    return kind
