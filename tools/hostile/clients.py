"""Clients over raw sockets: one that sends a hostile case, and its neighbours, who ask as anybody does.

Each request bears a mark of its own as X-Request-Id, and the answer to it bears the same.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count
from typing import NamedTuple

from tools.hostile.corpus import Case

# By then every limit of ours and of the proxies is over: a head has 10 s, and a refused client 3 s more.
LIMITS_SECONDS = 16.0
# A connection that has not ended by then, and does not answer, is deaf.
DEAF_SECONDS = 20.0

Address = tuple[str, int]

_MARK = re.compile(rb"(?:neighbour|smuggled|tagged)-[0-9]{11,15}")
_RESPONSE = re.compile(rb"HTTP/1\.1 (\d{3}) .*?\r\n\r\n", re.DOTALL)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_UPSTREAM = re.compile(rb"\r\nx-upstream: *(\d+)\r\n", re.IGNORECASE)
_numbers = count(1)


def request(mark: bytes) -> bytes:
    return b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Request-Id: %s\r\n\r\n" % mark


class Wire(asyncio.Protocol):
    """A connection; keeps what it receives, also if it is reset then."""

    def __init__(self) -> None:
        self.received = b""
        self.is_closed = False
        self._changed = asyncio.Event()

    @classmethod
    async def connect(cls, address: Address) -> "Wire":
        _, wire = await asyncio.get_running_loop().create_connection(cls, *address)
        return wire

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvloop's is none.
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # However it ended.
        self.is_closed = True
        self._changed.set()

    def send(self, data: bytes) -> None:
        if not self.is_closed:
            self._transport.write(data)

    def close(self) -> None:
        self._transport.close()

    async def wait_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether the condition holds, or the connection ends, in so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while not (self.is_closed or condition()):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True


class Ending(NamedTuple):
    """What became of a hostile client: the upstream connections it was answered on, and what was wrong, if anything."""

    upstreams: set[bytes]
    foreign: set[bytes]
    is_deaf: bool


async def attack(address: Address, case: Case, number: int) -> Ending:
    """Send a case, and a rightly formed request behind it, which is answered unless the connection ends.

    The case may take that request for a part of its own, such as its trailer; then the next one is answered.
    """
    wire = await Wire.connect(address)
    for piece in case.bytes_to_send(number):
        wire.send(piece)
        # One case is sent byte by byte.
        await asyncio.sleep(0.001 if len(case.pieces) > 9 else 0.02)
    tag = b"tagged-%015d" % number
    for seconds in (LIMITS_SECONDS, DEAF_SECONDS - LIMITS_SECONDS):
        wire.send(request(tag))
        if has_ended := await wire.wait_until(lambda: tag in wire.received, seconds):
            break
    wire.close()
    own = {tag, b"smuggled-%015d" % number}
    foreign = set(_MARK.findall(wire.received)) - own
    return Ending(set(_UPSTREAM.findall(wire.received)), foreign, is_deaf=not has_ended)


@dataclass
class Neighbour:
    """A client that keeps its connection and asks again and again; it notes every answer that is not its own."""

    address: Address
    answers: int = 0
    # By the proxy itself, with a status above 499, when the service closed a kept connection.
    refused: int = 0
    reconnected: int = 0
    wrong: list[str] = field(default_factory=list)
    deaf: list[str] = field(default_factory=list)
    # The upstream connection of each answer, where the server names it.
    upstreams: list[bytes] = field(default_factory=list)
    _wire: Wire | None = None

    async def ask(self) -> None:
        """Ask once, and a second time if the connection ends first."""
        for _ in range(2):
            if self._wire is None or self._wire.is_closed:
                self._wire = await Wire.connect(self.address)
            wire, mark = self._wire, b"neighbour-%011d" % next(_numbers)
            if wire.received:
                self._note(self.wrong, wire, "before it asked")
            wire.received = b""
            wire.send(request(mark))
            if not await wire.wait_until(lambda wire=wire: _is_complete(wire.received), DEAF_SECONDS):  # type: ignore[misc]  # Bound here.
                self._note(self.deaf, wire, "no answer")
                wire.close()
            elif wire.received:
                self._judge(wire, mark)
                return
            self.reconnected += 1

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()

    def _judge(self, wire: Wire, mark: bytes) -> None:
        head = _RESPONSE.match(wire.received)
        status = int(head[1]) if head else 0
        if status == HTTPStatus.GATEWAY_TIMEOUT:
            self._note(self.deaf, wire, "the proxy waited in vain")
        elif status > 499:
            self.refused += 1
        elif status != HTTPStatus.OK or _MARK.findall(wire.received) != [mark] or not _is_complete(wire.received, 0):
            self._note(self.wrong, wire, mark.decode())
        else:
            self.answers += 1
        self.upstreams += _UPSTREAM.findall(wire.received)
        wire.received = b""

    @staticmethod
    def _note(where: list[str], wire: Wire, what: str) -> None:
        where.append(f"{what}: {wire.received[:300]!r}")


def _is_complete(received: bytes, more: int | None = None) -> bool:
    """Whether a response is there with its body; with `more`, exactly so many bytes follow it."""
    head = _RESPONSE.match(received)
    if head is None:
        return False
    length = _LENGTH.search(head[0])
    beyond = len(received) - head.end() - (int(length[1]) if length else 0)
    return beyond >= 0 if more is None else beyond == more
