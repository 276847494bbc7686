"""Why a server refuses a connection, by its SQLSTATE, which libpq keeps to itself while it connects.

libpq can trace the messages of a connection, and the trace of an error response has its SQLSTATE. psycopg offers that
on Linux only; elsewhere a refusal has no reason.
"""

import asyncio
import os
import re
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from psycopg import pq
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import PollingStatus

from app.postgres.errors import explain_refusal
from app.postgres.pool import connection_string

# An address may ask for more, but a person waits for the reason.
LONGEST_SECONDS = 10.0
# Before the text of the message there is nothing that the server did not choose itself.
_ERROR_RESPONSE = re.compile(r'^B\t\d+\tErrorResponse\t(?: [SV] "[^"]*")* C "([0-9A-Z]{5})"')
_LASTING = (PollingStatus.READING, PollingStatus.WRITING)


async def why_refused(url: str) -> str:
    """Try to connect, and return why it fails, in words that never hold a part of the address."""
    return await asyncio.to_thread(_why_refused, connection_string(url))


def _why_refused(conninfo: str) -> str:
    connection = pq.PGconn.connect_start(conninfo.encode())
    try:
        with _traced(connection) as trace:
            status = _connect(connection, _seconds(conninfo))
        if status == PollingStatus.OK:
            return "it was busy"
        message = connection.get_error_message() if status == PollingStatus.FAILED else "timeout expired"
        return explain_refusal(message, (connection.host, connection.hostaddr), _sqlstate(trace))
    finally:
        connection.finish()


def _seconds(conninfo: str) -> float:
    asked = float(conninfo_to_dict(conninfo).get("connect_timeout") or 0)
    return min(asked, LONGEST_SECONDS) if asked > 0 else LONGEST_SECONDS


def _connect(connection: pq.abc.PGconn, seconds: float) -> PollingStatus:
    """Connect; READING or WRITING if the time is over."""
    give_up_at = monotonic() + seconds
    status = PollingStatus.WRITING
    while status in _LASTING and connection.status != pq.ConnStatus.BAD:
        ready = select.poll()
        ready.register(connection.socket, select.POLLIN if status == PollingStatus.READING else select.POLLOUT)
        if not ready.poll(max(give_up_at - monotonic(), 0) * 1000):
            return status
        status = PollingStatus(connection.connect_poll())
    return PollingStatus.FAILED if status in _LASTING else status


@contextmanager
def _traced(connection: pq.abc.PGconn) -> Iterator[list[str]]:
    """The messages of a connection, as lines of libpq's trace; they are there when the block has ended."""
    lines: list[str] = []
    if sys.platform != "linux":
        yield lines
        return
    # A file in memory, because an answer to a password is a message too.
    with os.fdopen(os.memfd_create("trace"), "rb") as file:
        connection.trace(file.fileno())
        connection.set_trace_flags(pq.Trace.SUPPRESS_TIMESTAMPS)
        yield lines
        connection.untrace()
        file.seek(0)
        lines += file.read().decode(errors="replace").splitlines()


def _sqlstate(trace: list[str]) -> str | None:
    """The SQLSTATE of the last error response; libpq tries again without TLS, or at another host."""
    states = [found[1] for line in trace if (found := _ERROR_RESPONSE.match(line))]
    return states[-1] if states else None
