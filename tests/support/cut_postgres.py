"""A proxy before Postgres that hangs up at a chosen statement: before the server gets it, or after it has done it.

It reads the client's messages one by one (PostgreSQL documentation, "Frontend/Backend Protocol"), so it cuts between
two statements of one round trip as well.
"""

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Literal

from psycopg.conninfo import conninfo_to_dict

from tools.sandbox.loopback import HOST, LoopbackServer

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

# Execute and Query; Flush; CommandComplete and ErrorResponse.
STATEMENTS, FLUSH, COMPLETE, FAILED = (b"E", b"Q"), b"H\0\0\0\4", b"C", b"E"


@dataclass
class Cuts:
    """What is to be cut, and how many statements have been seen since it was last set."""

    when: Literal["before", "after"] = "before"
    numbers: frozenset[int] = frozenset()
    seen: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    made: int = 0

    def plan(self, when: Literal["before", "after"], *numbers: int) -> None:
        """Cut at these statements, counted from now on over all connections; the first is 1."""
        self.when, self.numbers, self.seen, self.made = when, frozenset(numbers), itertools.count(1), 0

    def strikes(self) -> bool:
        struck = next(self.seen) in self.numbers
        self.made += struck
        return struck


class CuttingProxy(LoopbackServer):
    """Stands before a Postgres on a Unix socket, in a thread of its own."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._parts = conninfo_to_dict(url)
        self.cuts = Cuts()

    @property
    def url(self) -> str:
        """The proxied address."""
        user, database = self._parts["user"], self._parts["dbname"]
        return f"postgresql://{user}@{HOST}:{self.port}/{database}?sslmode=disable&gssencmode=disable"

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        server = await asyncio.open_unix_connection(f"{self._parts['host']}/.s.PGSQL.{self._parts['port']}")
        await _Passage((reader, writer), server, self.cuts).run()
        return False


class _Passage:
    """One connection, until one side leaves or a cut strikes."""

    def __init__(self, client: Streams, server: Streams, cuts: Cuts) -> None:
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        self._cuts = cuts
        self._open = 0  # Statements that the server has and has not finished.
        self._struck = False
        self._finished = asyncio.Event()

    async def run(self) -> None:
        both = [asyncio.create_task(way) for way in (self._pass_back(), self._pass_on())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            self._to_client.transport.abort()
            self._to_server.transport.abort()

    async def _pass_on(self) -> None:
        length = await self._from_client.readexactly(4)
        self._to_server.write(length + await self._from_client.readexactly(int.from_bytes(length) - 4))
        while True:
            kind, message = await _read(self._from_client)
            if kind in STATEMENTS:
                self._struck = self._cuts.strikes()
                if self._struck and self._cuts.when == "before":
                    return
                self._open += 1
            self._to_server.write(message + (FLUSH if self._struck else b""))
            if self._struck:
                # No answer comes after an earlier error in the same round trip.
                await asyncio.wait_for(self._finished.wait(), 1.0)
                return

    async def _pass_back(self) -> None:
        while True:
            kind, message = await _read(self._from_server)
            self._open -= kind == COMPLETE
            if kind == FAILED or self._open == 0:
                self._finished.set()
            if not self._struck:
                self._finished.clear()
                self._to_client.write(message)


async def _read(stream: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await stream.readexactly(5)
    return head[:1], head + await stream.readexactly(int.from_bytes(head[1:]) - 4)
