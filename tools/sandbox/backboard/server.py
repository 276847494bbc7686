"""The Backboard sandbox: a server that follows Backboard's API, and misbehaves on request.

`./dev run` starts one, the tests start theirs, and `python -m tools.sandbox.backboard --port 8090` runs it alone. From
Python it is steered through the methods of `Ledger` and with the faults of both `faults` modules. From a terminal:

    curl -s $SANDBOX/_ledger
    curl -s $SANDBOX/_control -d '{"create": "500_after_commit", "times": 3}'
    curl -s $SANDBOX/_control -d '{"lookup": "hangs", "always": true}'
    curl -s $SANDBOX/_control -d '{"create": "late", "seconds": 5}'
    curl -s $SANDBOX/_control -d '{"latency": 2, "name_filter": false}'
    curl -s $SANDBOX/_control -d '{"create_thread": "twice", "delete_thread": "forgets"}'
    curl -s $SANDBOX/_control -d '{"send_message": "error_event", "listed_messages": "empty"}'
    curl -s $SANDBOX/_control -d '{"refuse_connections": 10}'
    curl -s $SANDBOX/_control -d '{"make": "clerk:user_2abc", "times": 2}'
    curl -s $SANDBOX/_control -d '{"clear": true}'
    curl -s $SANDBOX/_control -d '{"reset": true}'

SANDBOX is the URL without /api; docs/sandbox.md lists faults and switches. A control request that is not understood is
answered with what there is.
"""

import asyncio
from collections.abc import Iterable
from functools import partial

from tools.sandbox import wire
from tools.sandbox.backboard.control import control
from tools.sandbox.backboard.faults import says
from tools.sandbox.backboard.ledger import Ledger
from tools.sandbox.faults import NO_RESPONSE, Commit, Fault, behaves
from tools.sandbox.http import Request, Response
from tools.sandbox.loopback import HOST, LoopbackServer

LOCAL_KEY = "espr_local"


class Sandbox(Ledger, LoopbackServer):
    """Backboard on loopback. Port 0 takes any free one."""

    def __init__(self, keys: Iterable[str] = (LOCAL_KEY,), port: int = 0) -> None:
        Ledger.__init__(self, keys)
        LoopbackServer.__init__(self, port)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/api"

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        async with asyncio.timeout(self.switches.idle_seconds):
            request = await wire.read_request(reader)
        if request is None:
            return False
        if request.path.startswith("/api/"):
            response, fault = await self._respond(request)
        else:
            response, fault = control(self, request), behaves()
        return await wire.send(reader, writer, request, response, fault)

    async def _respond(self, request: Request) -> tuple[Response, Fault]:
        """Do the work when the fault says so, even if the client has left by then."""
        call, fault, account = self.record(request)
        await asyncio.sleep(self.switches.latency)
        work = partial(self.work, account, request, fault)
        response = NO_RESPONSE
        if fault.commit is Commit.IN_BACKGROUND:
            self.in_background(_later(fault, work))
            return response, fault
        if fault.commit is Commit.BEFORE_PAUSE:
            response = work()
        await fault.pause()
        if fault.commit is Commit.AFTER_PAUSE:
            response = work()
        if fault.earlier_id:
            fault = says(assistant_id=next(iter(account.assistants), "") if account else "")
        response = fault.altered(response)
        if fault.is_answered:
            self.responded(call, response.status)
        return response, fault


async def _later(fault: Fault, work: partial[Response]) -> None:
    await fault.pause()
    work()
