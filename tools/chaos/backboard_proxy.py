"""A proxy before Backboard that refuses, cuts, stalls and drips, one HTTP exchange at a time."""

import asyncio
import re

from tools.chaos.faults import Faults
from tools.sandbox.loopback import HOST, LoopbackServer

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
HANG_SECONDS = 20.0
# A whole response then takes about a minute, with no pause in it that a limit on each read would notice.
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


class BackboardProxy(LoopbackServer):
    """Stands before the Backboard sandbox at `target_port`."""

    def __init__(self, target_port: int, faults: Faults) -> None:
        super().__init__()
        self._target_port = target_port
        self.faults = faults
        # How long the planned slow ones take; those of the storm take a random time.
        self.slow_seconds: float | None = None

    async def refuse(self, seconds: float) -> None:
        """Refuse new connections for a while."""
        self.stop_listening()
        self.faults.tally.add(REFUSED)
        await asyncio.sleep(seconds)
        await self.listen()

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await _read_message(reader)
        action = self.faults.decide(request, ON_REQUEST)
        match action:
            case "cut Backboard, before the request":
                return False
            case "cut Backboard, request comes late":
                writer.transport.abort()
                await asyncio.sleep(self.faults.rng.uniform(0.1, 2.0))
                await self._ask(request)
                return False
            case "Backboard slow":
                await asyncio.sleep(self.slow_seconds or self.faults.rng.uniform(0.1, 2.0))
            case "Backboard hangs":
                await asyncio.sleep(HANG_SECONDS)
                return False
        response = await self._ask(request)
        return await _send(writer, response, action)

    async def _ask(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(HOST, self._target_port)
        try:
            writer.write(request)
            return await _read_message(reader)
        finally:
            writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, response: bytes, action: str | None) -> bool:
    """Send the response as the fault wants it; return whether the connection stays open."""
    match action:
        case "cut Backboard, after the request":
            return False
        case "cut Backboard, in the answer":
            writer.write(response[: len(response) * 2 // 3])
            await writer.drain()
            await asyncio.sleep(0.01)
            return False
        case "Backboard drips":
            for byte in response:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(DRIP_SECONDS)
        case _:
            writer.write(response)
            await writer.drain()
    return True


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    """A whole request or response; both sides announce the lengths of their bodies."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return head + (await reader.readexactly(int(length[1])) if length else b"")
