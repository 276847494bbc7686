"""A proxy before Postgres that reads the messages of its protocol; a policy decides what happens to them.

What a client sends before it waits for the server is one round trip (PostgreSQL's documentation, "Message Flow"). A
policy may pass it on, hold it up, pass on a part of it, keep the server's response back, or disconnect.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

from tools.sandbox.loopback import HOST, HangUp, LoopbackServer

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

# Parse, Bind, Describe, Execute, Close: behind these a client does not wait yet.
_GOES_ON = b"PBDEC"
# Execute and Query.
_STATEMENTS = (b"E", b"Q")
# CommandComplete, EmptyQueryResponse, PortalSuspended: each ends one statement.
_STATEMENT_ENDS = (b"C", b"I", b"s")
_ERROR, _READY = b"E", b"Z"
_READY_OUTSIDE_TRANSACTION = b"Z\0\0\0\5I"
# Sync and Query: the server says ReadyForQuery when it has done everything up to here.
_SYNC_POINTS = (b"S", b"Q")
_FLUSH = b"H\0\0\0\4"
# In a Parse message behind the empty name of the statement, or as a Query of its own.
_COMMITS = (b"\0COMMIT\0", b"Q\0\0\0\x0bCOMMIT\0")
FINISH_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """What a client sends before it waits for the server; the very first message of a connection has no letter."""

    messages: tuple[bytes, ...]
    # Whether the server has responded since the round trip before; if not, the client did not wait in between.
    follows_response: bool = False

    @property
    def is_commit(self) -> bool:
        return any(commit in b"".join(self.messages) for commit in _COMMITS)

    def statements(self) -> list[int]:
        """The indexes of the messages that run a statement."""
        return [index for index, message in enumerate(self.messages) if message[:1] in _STATEMENTS]

    def through(self, index: int) -> tuple[bytes, ...]:
        """The messages up to and with this one, made such that the server responds to it."""
        end = () if self.messages[index][:1] in _SYNC_POINTS else (_FLUSH,)
        return (*self.messages[: index + 1], *end)


class Policy:
    """Decides about the messages of every connection; this one passes all of them on."""

    async def on_request(self, request: RoundTrip, link: "Link") -> None:
        await link.forward(request.messages)

    async def on_response(self, message: bytes, link: "Link") -> None:
        await link.respond(message)


class CutAtStatement(Policy):
    """Disconnects at chosen statements: before the server gets them, or after it has done them."""

    def __init__(self) -> None:
        self.plan("before")

    def plan(self, when: Literal["before", "after"], *numbers: int) -> None:
        """Cut at these statements, counted from now on over all connections; the first is 1."""
        self._when, self._numbers, self._count = when, frozenset(numbers), itertools.count(1)
        self.cuts = 0

    async def on_request(self, request: RoundTrip, link: "Link") -> None:
        for index in request.statements():
            if next(self._count) in self._numbers:
                self.cuts += 1
                if self._when == "before":
                    await link.forward(request.messages[:index])
                else:
                    await link.forward_muted(request.through(index))
                link.hang_up()
        await link.forward(request.messages)


class Silence(Policy):
    """Holds everything back while `speaks` is not set; connections stay open, and new ones are accepted."""

    def __init__(self) -> None:
        self.speaks = asyncio.Event()
        self.speaks.set()

    async def on_request(self, request: RoundTrip, link: "Link") -> None:
        await self.speaks.wait()
        await link.forward(request.messages)

    async def on_response(self, message: bytes, link: "Link") -> None:
        await self.speaks.wait()
        await link.respond(message)


class CountRoundTrips(Policy):
    """Counts how often a client waits for the server."""

    def __init__(self) -> None:
        self.count = 0

    async def on_request(self, request: RoundTrip, link: "Link") -> None:
        self.count += request.follows_response
        await link.forward(request.messages)


class PostgresProxy(LoopbackServer):
    """Stands before the Postgres or the pooler at `target`."""

    def __init__(self, target: str, policy: Policy) -> None:
        super().__init__()
        self._target = {key: str(value) for key, value in conninfo_to_dict(target).items() if value is not None}
        self._policy = policy

    @property
    def url(self) -> str:
        """The address of the same database through the proxy, which has to read what is sent, so unencrypted."""
        values = {key: quote(value, safe="") for key, value in self._target.items()}
        login = ":".join(values[key] for key in ("user", "password") if key in values)
        return f"postgresql://{login}@{HOST}:{self.port}/{values['dbname']}?sslmode=disable&gssencmode=disable"

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Relay a connection until it ends."""
        server = await self._connect()
        try:
            await Link((reader, writer), server, self._policy).relay()
        finally:
            server[1].transport.abort()
        return False

    async def _connect(self) -> Streams:
        host, port = self._target.get("host", "localhost"), self._target.get("port", "5432")
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, int(port))


class Link:
    """One connection through the proxy."""

    def __init__(self, client: Streams, server: Streams, policy: Policy) -> None:
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        self._policy = policy
        self._muted = False
        # How many statements the server has that it has not finished.
        self._unfinished = 0
        self._is_awaiting_ready = False
        self._finished = asyncio.Event()
        # What the client has sent in this transaction, the current round trip included; a COMMIT alone names no user.
        self.transaction = b""
        self._has_responded = False

    async def relay(self) -> None:
        responses = asyncio.create_task(self._relay_responses())
        try:
            async for messages in _round_trips(self._from_client):
                request = RoundTrip(messages, self._has_responded)
                self._has_responded = False
                self.transaction += b"".join(messages)
                await self._policy.on_request(request, self)
        finally:
            responses.cancel()
            await asyncio.gather(responses, return_exceptions=True)

    async def forward(self, messages: Sequence[bytes]) -> None:
        """Send to the server."""
        self._unfinished += sum(message[:1] in _STATEMENTS for message in messages)
        self._to_server.write(b"".join(messages))
        await self._to_server.drain()

    async def forward_muted(self, messages: Sequence[bytes]) -> None:
        """Send to the server and wait until it has done everything, but let no response through."""
        self.mute()
        self._finished.clear()
        self._is_awaiting_ready = messages[-1][:1] in _SYNC_POINTS
        await self.forward(messages)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._finished.wait(), FINISH_SECONDS)

    async def respond(self, message: bytes) -> None:
        """Send to the client, unless the link is muted."""
        if not self._muted:
            self._to_client.write(message)
            await self._to_client.drain()

    def mute(self) -> None:
        """Let no response through from now on."""
        self._muted = True

    def disconnect_client(self) -> None:
        """Break the client's connection; the server's goes on until the policy has returned."""
        self._to_client.transport.abort()

    def hang_up(self) -> NoReturn:
        """Break both connections."""
        self.disconnect_client()
        raise HangUp

    async def _relay_responses(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                message = await _read_message(self._from_server)
                self._note(message)
                await self._policy.on_response(message, self)
        self._finished.set()
        if not self._muted:
            self._to_client.close()

    def _note(self, message: bytes) -> None:
        """Keep count of what the server has finished."""
        kind = message[:1]
        self._has_responded = True
        self._unfinished -= kind in _STATEMENT_ENDS
        if kind in {_ERROR, _READY}:
            self._unfinished = 0
        if kind == _READY or (not self._is_awaiting_ready and self._unfinished <= 0):
            self._finished.set()
        if message == _READY_OUTSIDE_TRANSACTION:
            self.transaction = b""


async def _round_trips(reader: asyncio.StreamReader) -> AsyncIterator[tuple[bytes, ...]]:
    """The messages of a client in groups, until it disconnects (EOFError)."""
    length = await reader.readexactly(4)
    yield (length + await reader.readexactly(int.from_bytes(length) - 4),)
    messages = []
    while True:
        messages.append(await _read_message(reader))
        if messages[-1][0] not in _GOES_ON:
            yield tuple(messages)
            messages.clear()


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(5)
    return head + await reader.readexactly(int.from_bytes(head[1:]) - 4)
