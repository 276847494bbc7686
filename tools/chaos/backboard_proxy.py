"""A proxy before Backboard that refuses, cuts, stalls and drips, one HTTP exchange at a time."""

import asyncio
import contextlib
import re

from tools.chaos.faults import Faults

HOST = "127.0.0.1"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
HANG_SECONDS = 20.0
# A whole answer then takes about a minute, with no pause in it that a limit on each read would see.
DRIP_SECONDS = 0.1

CUT_BEFORE = "cut Backboard, before the request"
CUT_AFTER = "cut Backboard, after the request"
CUT_MIDDLE = "cut Backboard, in the answer"
LATE = "cut Backboard, request comes late"
SLOW = "Backboard slow"
DRIP = "Backboard drips"
HANG = "Backboard hangs"
REFUSED = "Backboard refuses connections"
ON_REQUEST = (CUT_BEFORE, CUT_AFTER, CUT_MIDDLE, LATE, SLOW, DRIP, HANG)
RATES = {CUT_BEFORE: 0.03, CUT_AFTER: 0.06, CUT_MIDDLE: 0.03, LATE: 0.008, SLOW: 0.05, DRIP: 0.004, HANG: 0.004}


class BackboardProxy:
    """Listens on a port of loopback and speaks to `port` behind it."""

    def __init__(self, port_behind: int, faults: Faults) -> None:
        self._port_behind = port_behind
        self.faults = faults
        self._open: set[asyncio.Task[None]] = set()
        self.port = 0
        # How long the planned slow ones take; those of the storm roll a dice.
        self.slow_seconds: float | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, self.port, backlog=256)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def refuse(self, seconds: float) -> None:
        """Let nobody in for a while."""
        self._server.close()
        self.faults.tally.add(REFUSED)
        await asyncio.sleep(seconds)
        await self.start()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            writer.transport.abort()
            self._open.discard(task)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await _message(reader)
        action = self.faults.decide(request, ON_REQUEST)
        if action is not None:
            self.faults.tally.add(action)
        match action:
            case "cut Backboard, before the request":
                return False
            case "cut Backboard, request comes late":
                writer.transport.abort()
                await asyncio.sleep(self.faults.dice.uniform(0.1, 2.0))
                await self._ask(request)
                return False
            case "Backboard slow":
                await asyncio.sleep(self.slow_seconds or self.faults.dice.uniform(0.1, 2.0))
            case "Backboard hangs":
                await asyncio.sleep(HANG_SECONDS)
                return False
        answer = await self._ask(request)
        return await _send(writer, answer, action)

    async def _ask(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(HOST, self._port_behind)
        try:
            writer.write(request)
            return await _message(reader)
        finally:
            writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, answer: bytes, action: str | None) -> bool:
    """Send the answer as the fault wants it; whether the connection lives on."""
    match action:
        case "cut Backboard, after the request":
            return False
        case "cut Backboard, in the answer":
            writer.write(answer[: len(answer) * 2 // 3])
            await writer.drain()
            await asyncio.sleep(0.01)
            return False
        case "Backboard drips":
            for byte in answer:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(DRIP_SECONDS)
        case _:
            writer.write(answer)
            await writer.drain()
    return True


async def _message(reader: asyncio.StreamReader) -> bytes:
    """A whole request or answer; both sides of this one say how long their bodies are."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return head + (await reader.readexactly(int(length[1])) if length else b"")
