"""A stand-in of Clerk's Backend API: a server that follows it, and misbehaves on request.

The tests start theirs, and steer it from Python: `add_user`, `remove_user`, `switches`, and `next` or `always` with a
fault of `tools.sandbox.faults` or with `refuses`.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass

from tools.sandbox import wire
from tools.sandbox.clerk.directory import Directory
from tools.sandbox.clerk.errors import error_response
from tools.sandbox.faults import NO_RESPONSE, Commit, Fault, FaultPlan
from tools.sandbox.http import Request
from tools.sandbox.loopback import HOST, LoopbackServer

LOCAL_KEY = "sk_test_local"
KINDS = ("list", "count", "create", "user", "sessions", "keys", "any")


def refuses(status: int, code: str = "made_up", *, retry_after: str = "") -> Fault:
    """An error in Clerk's shape instead of the answer."""
    headers = (("Retry-After", retry_after),) if retry_after else ()
    response = error_response(status, code, *headers)
    return Fault(str(status), commit=Commit.NEVER, alter=lambda _: response)


@dataclass(slots=True)
class Call:
    """One call, in the order of arrival; `status` is None while, or when, there is no response."""

    kind: str
    target: str
    headers: dict[str, str]
    at: float
    fault: str
    status: int | None = None


class Clerk(Directory, LoopbackServer):
    """An instance of Clerk on loopback. Port 0 takes any free one."""

    def __init__(self, keys: Iterable[str] = (LOCAL_KEY,), port: int = 0) -> None:
        self._plan = FaultPlan(KINDS)
        Directory.__init__(self, keys)
        LoopbackServer.__init__(self, port)

    @property
    def url(self) -> str:
        return f"{self.issuer}/v1"

    @property
    def issuer(self) -> str:
        """The Frontend API of the instance is here as well, as far as its keys go."""
        return f"http://{HOST}:{self.port}"

    def reset(self) -> None:
        """Forget users, switches, faults and calls."""
        with self._changed:
            super().reset()
            self._calls: list[Call] = []
            self._blocked_until: dict[str, float] = {}
            self.clear()

    def clear(self) -> None:
        """Behave again: drop every planned fault."""
        with self._changed:
            self._plan.clear()
            self._blocked_until.clear()

    def next(self, kind: str, *faults: Fault) -> None:
        """Plan one fault each for the next calls of this kind, in order."""
        with self._changed:
            self._plan.next(kind, *faults)

    def always(self, kind: str, fault: Fault) -> None:
        """Plan a fault for every call of this kind that no queued one waits for, until `clear`."""
        with self._changed:
            self._plan.always(kind, fault)

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
        call, fault = self._record(request)
        await fault.pause()
        response = fault.altered(NO_RESPONSE if fault.commit is Commit.NEVER else self.work(request))
        if fault.is_answered:
            call.status = response.status
        return await wire.send(reader, writer, request, response, fault)

    def _record(self, request: Request) -> tuple[Call, Fault]:
        """Record the call and find its fault."""
        with self._changed:
            target = f"{request.path}?{request.raw_query}" if request.raw_query else request.path
            call = Call(_kind(request), target, request.headers, time.monotonic(), "")
            self._calls.append(call)
            fault = self._fault(call)
            call.fault = fault.name
            return call, fault

    def _fault(self, call: Call) -> Fault:
        left = self._blocked_until.get(call.kind, 0.0) - call.at
        if left > 0:
            # Clerk's limiter goes on refusing calls that come before the time it has named.
            return refuses(429, "too_many_requests", retry_after=str(round(left) + 1))
        fault = self._plan.take(call.kind)
        wait = dict(fault.altered(NO_RESPONSE).headers).get("Retry-After", "") if fault.name == "429" else ""
        if wait.isdigit():
            self._blocked_until[call.kind] = call.at + int(wait[:6])
        return fault


def _kind(request: Request) -> str:
    match request.path.split("/")[1:]:
        case ["v1", "users"]:
            return "list" if request.method == "GET" else "create"
        case ["v1", "users", "count"]:
            return "count"
        case ["v1", "users", *_]:
            return "user"
        case ["v1", "sessions", *_]:
            return "sessions"
        case ["v1", "jwks"] | [".well-known", "jwks.json"]:
            return "keys"
    return "any"
