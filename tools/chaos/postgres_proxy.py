"""A proxy before Postgres that cuts, stalls and vanishes, and knows a COMMIT when it sees one.

What a client sends up to a Sync or in a Query is one round trip, and one fault is decided for it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from tools.chaos.faults import Faults

HOST = "127.0.0.1"
# Messages after which a client waits for no answer yet: Parse, Bind, Describe, Execute, Close.
_GOES_ON = b"PBDEC"
# In a Parse message behind the empty name of the statement, or as a Query of its own.
_COMMITS = (b"\0COMMIT\0", b"Q\0\0\0\x0bCOMMIT\0")
# Longer than any of the service's limits.
VANISHED_SECONDS = 20.0
REPLY_SECONDS = 4.0

CUT_BEFORE = "cut Postgres, before a statement"
CUT_AFTER = "cut Postgres, after a statement"
COMMIT_LOST = "cut Postgres, before COMMIT"
COMMIT_UNKNOWN = "cut Postgres, after COMMIT"
COMMIT_LATE = "cut Postgres, COMMIT comes late"
VANISH = "Postgres vanishes without FIN"
SLOW = "Postgres slow"
ON_STATEMENT = (CUT_BEFORE, CUT_AFTER, VANISH, SLOW)
ON_COMMIT = (COMMIT_LOST, COMMIT_UNKNOWN, COMMIT_LATE, VANISH, SLOW)
RATES = {
    CUT_BEFORE: 0.012,
    CUT_AFTER: 0.012,
    COMMIT_LOST: 0.015,
    COMMIT_UNKNOWN: 0.015,
    COMMIT_LATE: 0.008,
    VANISH: 0.0015,
    SLOW: 0.02,
}

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class PostgresProxy:
    """Listens on a port of loopback; `connect` opens a connection to what stands behind."""

    def __init__(self, connect: Connect, faults: Faults) -> None:
        self._connect = connect
        self.faults = faults
        self._open: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, 0, backlog=256)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                behind_reader, behind = await self._connect()
                await _Passage(self.faults, reader, writer, behind_reader, behind).run()
        finally:
            writer.transport.abort()
            self._open.discard(task)


class _Passage:
    """One connection of the service."""

    def __init__(
        self,
        faults: Faults,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        behind_reader: asyncio.StreamReader,
        behind: asyncio.StreamWriter,
    ) -> None:
        self._faults = faults
        self._reader, self._writer = reader, writer
        self._behind_reader, self._behind = behind_reader, behind
        self._mute = False
        self._replied = asyncio.Event()

    async def run(self) -> None:
        back = asyncio.create_task(self._relay_back())
        try:
            await self._relay()
        except (asyncio.IncompleteReadError, OSError):
            pass  # One of the two has hung up, and so does the proxy.
        finally:
            back.cancel()
            self._behind.transport.abort()

    async def _relay(self) -> None:
        said = b""
        async for sent in _round_trips(self._reader):
            commits = any(commit in sent for commit in _COMMITS)
            # A COMMIT names nobody; whose it is has been said before it.
            said += sent
            action = self._faults.decide(said, ON_COMMIT if commits else ON_STATEMENT)
            if commits:
                said = b""
            if action is not None:
                self._faults.tally.add(action)
                if not await self._suffer(action, sent):
                    return
            else:
                await self._forward(sent)

    async def _suffer(self, action: str, sent: bytes) -> bool:
        """Do it; whether the connection lives on."""
        match action:
            case "Postgres slow":
                await asyncio.sleep(self._faults.dice.uniform(0.05, 1.0))
                await self._forward(sent)
                return True
            case "Postgres vanishes without FIN":
                self._mute = True
                if self._faults.dice.random() < 0.5:
                    await self._forward(sent)
                await asyncio.sleep(VANISHED_SECONDS)
            case "cut Postgres, after a statement" | "cut Postgres, after COMMIT":
                await self._forward_unheard(sent)
            case "cut Postgres, COMMIT comes late":
                self._writer.transport.abort()
                await asyncio.sleep(self._faults.dice.uniform(0.2, 2.5))
                await self._forward_unheard(sent)
        return False

    async def _forward(self, sent: bytes) -> None:
        self._behind.write(sent)
        await self._behind.drain()

    async def _forward_unheard(self, sent: bytes) -> None:
        """Let it be done, and keep the answer."""
        self._mute = True
        self._replied.clear()
        await self._forward(sent)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._replied.wait(), REPLY_SECONDS)

    async def _relay_back(self) -> None:
        with contextlib.suppress(OSError):
            while data := await self._behind_reader.read(65536):
                if self._mute:
                    # ReadyForQuery: a letter, its length, a letter for the state.
                    if data[-6:-1] == b"Z\0\0\0\5":
                        self._replied.set()
                    continue
                self._writer.write(data)
                await self._writer.drain()
        self._replied.set()
        if not self._mute:
            self._writer.close()


async def _round_trips(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """What the client sends, cut where it begins to wait; first of all the start-up message, which has no letter."""
    length = await reader.readexactly(4)
    yield length + await reader.readexactly(int.from_bytes(length) - 4)
    sent = bytearray()
    while True:
        head = await reader.readexactly(5)
        sent += head + await reader.readexactly(int.from_bytes(head[1:]) - 4)
        if head[0] not in _GOES_ON:
            yield bytes(sent)
            sent.clear()
