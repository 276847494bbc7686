"""`python -m tools.bench.client`: the load generator without wrk, and the one that keeps to a rate.

The time runs from when all connections are open. Every connection sends at least one request, and the next one after
the last response or, at a rate, when it is due; a latency counts from the time when its request was due, so a stall is
not hidden by the requests that it delayed. The file's requests are sent in their order, over and over.
"""

import argparse
import asyncio
import itertools
import json
import random
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import uvloop

PERCENTILES = (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.9)
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """One of the connections that share `requests`; `latencies` in seconds."""

    def __init__(self, requests: Iterator[bytes], interval: float) -> None:
        self._requests = requests
        self._end = 0.0
        self._interval = interval
        self._due = 0.0
        self._answer = b""
        self.latencies: list[float] = []
        self.refused = 0
        self.failures = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvloop's is no subclass.
        self._transport = transport

    def start(self, end: float) -> None:
        """Send the first request, at a rate after a part of its interval, and the others until `end`."""
        self._end = end
        wait = random.random() * self._interval
        self._due = time.perf_counter() + wait
        asyncio.get_running_loop().call_later(wait, self._send)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head = self._answer.find(b"\r\n\r\n")
        length = _LENGTH.search(self._answer, 0, head + 2) if head > 0 else None
        if length is None or len(self._answer) < head + 4 + int(length[1]):
            return
        now = time.perf_counter()
        self.latencies.append(now - self._due)
        self.refused += self._answer[9:10] not in b"23"
        self._answer = b""
        self._due = self._due + self._interval if self._interval else now
        self._send_when_due()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # The protocol's signature.
        if not self.done.done():
            self.failures += 1
            self.done.set_result(None)

    def _send_when_due(self) -> None:
        if self._due >= self._end or time.perf_counter() >= self._end:
            self.done.set_result(None)
            self._transport.close()
            return
        wait = self._due - time.perf_counter()
        if wait > 0:
            asyncio.get_running_loop().call_later(wait, self._send)
        else:
            self._send()

    def _send(self) -> None:
        self._transport.write(next(self._requests))


def _itself(connection: Connection) -> Connection:
    """For asyncio, which wants a factory."""
    return connection


async def load(port: int, requests: list[bytes], connections: int, seconds: float, rate: float) -> dict[str, object]:
    """Send requests on so many connections for so many seconds; `rate` a second in all, 0 for as many as possible."""
    loop = asyncio.get_running_loop()
    shared = itertools.cycle(requests)
    made = [Connection(shared, connections / rate if rate else 0.0) for _ in range(connections)]
    await asyncio.gather(*(loop.create_connection(partial(_itself, one), "127.0.0.1", port) for one in made))
    began = time.perf_counter()
    for one in made:
        one.start(began + seconds)
    await asyncio.wait([one.done for one in made], timeout=seconds + 15)
    latencies = sorted(latency for one in made for latency in one.latencies)
    return {
        "requests": len(latencies),
        "seconds": time.perf_counter() - began,
        "refused": sum(one.refused for one in made),
        "failures": sum(one.failures + (not one.done.done()) for one in made),
        "percentiles": [
            (which, 1000 * latencies[int(len(latencies) * which / 100)]) for which in PERCENTILES if latencies
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("requests", type=Path)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rate", type=float, default=0.0)
    given = parser.parse_args()
    requests = given.requests.read_bytes().split(b"\0")
    print(json.dumps(uvloop.run(load(given.port, requests, given.connections, given.seconds, given.rate))))


if __name__ == "__main__":
    main()
