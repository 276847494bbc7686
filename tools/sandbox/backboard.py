"""The Backboard sandbox: a server that follows Backboard's API, and misbehaves on request.

`./dev run` starts one, the tests start theirs, and `python -m tools.sandbox.backboard --port 8090` runs it alone. From
Python it is steered through the methods of `Ledger` and the faults of `backboard_faults`. From a terminal:

    curl -s $SANDBOX/_ledger
    curl -s $SANDBOX/_control -d '{"create": "500_after_commit", "times": 3}'
    curl -s $SANDBOX/_control -d '{"lookup": "hangs", "always": true}'
    curl -s $SANDBOX/_control -d '{"create": "late", "seconds": 5}'
    curl -s $SANDBOX/_control -d '{"latency": 2, "name_filter": false}'
    curl -s $SANDBOX/_control -d '{"create_thread": "twice", "delete_thread": "forgets"}'
    curl -s $SANDBOX/_control -d '{"refuse_connections": 10}'
    curl -s $SANDBOX/_control -d '{"make": "clerk:user_2abc", "times": 2}'
    curl -s $SANDBOX/_control -d '{"clear": true}'
    curl -s $SANDBOX/_control -d '{"reset": true}'

SANDBOX is the URL without /api. A control request that is not understood is answered with what there is.
"""

import argparse
import asyncio
import contextlib
import threading
from collections.abc import Iterable
from functools import partial

from tools.sandbox import backboard_wire as wire
from tools.sandbox.backboard_control import control
from tools.sandbox.backboard_faults import Commit, Fault, Wire, behaves, says
from tools.sandbox.backboard_ledger import Ledger
from tools.sandbox.backboard_messages import Reply, Request
from tools.sandbox.loopback import HOST, Loopback

LOCAL_KEY = "espr_local"

# Stands where a fault lets nothing be answered.
NO_REPLY = Reply(500, b"")
SILENT = {Wire.NOT_AT_ALL, Wire.CLOSED, Wire.RESET}


class Sandbox(Ledger, Loopback):
    """Backboard on loopback. Port 0 takes any free one."""

    name = "backboard-sandbox"

    def __init__(self, keys: Iterable[str] = (LOCAL_KEY,), port: int = 0) -> None:
        Ledger.__init__(self, keys)
        Loopback.__init__(self, port)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}/api"

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection goes on."""
        async with asyncio.timeout(self.switches.idle_seconds):
            request = await wire.read_request(reader)
        if request is None:
            return False
        if request.path.startswith("/api/"):
            reply, fault = await self._answer(request)
        else:
            reply, fault = control(self, request), behaves()
        goes_on = await wire.send(writer, reader, reply, fault, head_only=request.method == "HEAD")
        return goes_on and request.keeps_alive

    async def _answer(self, request: Request) -> tuple[Reply, Fault]:
        """Do the work when the fault says so, even if the client has left by then."""
        call, fault, world = self.arrive(request)
        await asyncio.sleep(self.switches.latency)
        work = partial(self.work, world, request, fault)
        reply = NO_REPLY
        if fault.commit is Commit.IN_BACKGROUND:
            self.in_background(_later(fault, work))
            return reply, fault
        if fault.commit is Commit.BEFORE_PAUSE:
            reply = work()
        await _pause(fault)
        if fault.commit is Commit.AFTER_PAUSE:
            reply = work()
        if fault.earlier_id:
            fault = says(assistant_id=next(iter(world.made), "") if world else "")
        if fault.alter:
            reply = fault.alter(reply)
        if fault.wire not in SILENT:
            self.answered(call, reply.status)
        return reply, fault


async def _pause(fault: Fault) -> None:
    await asyncio.sleep(fault.seconds)
    # The gate is a thread's event, since whoever sets it is in another loop, or in none.
    while fault.gate is not None and not fault.gate.is_set():  # noqa: ASYNC110
        await asyncio.sleep(0.002)


async def _later(fault: Fault, work: partial[Reply]) -> None:
    await _pause(fault)
    work()


def main() -> None:
    parser = argparse.ArgumentParser(description="The Backboard sandbox, alone.")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes any free port")
    parser.add_argument("--key", action="append", help=f"an accepted API key; default {LOCAL_KEY}")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt), Sandbox(arguments.key or [LOCAL_KEY], arguments.port) as sandbox:
        print(sandbox.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
