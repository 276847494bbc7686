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
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import PollingStatus

from app.postgres.errors import UNKNOWN, explain_refusal
from app.postgres.pool import connection_string
from app.settings.database_address import resolve

# An address may ask for more, but a person waits for the reason.
LONGEST_SECONDS = 10.0
# Before the text of the message there is nothing that the server did not choose itself.
_ERROR_RESPONSE = re.compile(r'^B\t\d+\tErrorResponse\t(?: [SV] "[^"]*")* C "([0-9A-Z]{5})"')
_LASTING = (PollingStatus.READING, PollingStatus.WRITING)


# What an address may demand of a server, and a value that demands nothing. A demand may be there to keep the password
# from a server that does not meet it, so without the demand none is sent.
_DEMANDS = {
    "target_session_attrs": {"target_session_attrs": "any"},
    "require_auth": {"require_auth": "none,password,md5,gss,sspi,scram-sha-256"},
    "channel_binding": {"channel_binding": "disable"},
    "gssencmode": {"gssencmode": "disable"},
    "requirepeer": {"requirepeer": ""},
    "sslcertmode": {"sslcertmode": "allow"},
    "sslnegotiation": {"sslnegotiation": "postgres"},
    "min_protocol_version": {"min_protocol_version": "", "max_protocol_version": ""},
    "ssl_min_protocol_version": {"ssl_min_protocol_version": ""},
    "ssl_max_protocol_version": {"ssl_max_protocol_version": ""},
}
_NO_PASSWORD = {"password": "", "passfile": "/nonexistent"}
# It is looked at last, when the password has been taken.
_NEEDS_PASSWORD = "target_session_attrs"  # noqa: S105  # The name of a parameter.


async def why_refused(url: str) -> str:
    """Try to connect, and return why it fails, in words that never hold a part of the address."""
    return await asyncio.to_thread(_explain, connection_string(url), resolve(url))


def _explain(conninfo: str, parameters: dict[str, str]) -> str:
    """Why it fails; where libpq's words are not known, the demand without which it says another thing."""
    why = _why_refused(conninfo)
    if why != UNKNOWN:
        return why
    defaults = {option.keyword.decode(): (option.compiled or b"").decode() for option in pq.Conninfo.parse(b"")}
    for name in [name for name in _DEMANDS if parameters.get(name, defaults.get(name)) != defaults.get(name)]:
        harmless = {} if name == _NEEDS_PASSWORD else _NO_PASSWORD
        as_asked = _why_refused(make_conninfo(conninfo, **harmless))
        without = _why_refused(make_conninfo(conninfo, **{**harmless, **_DEMANDS[name]}))
        if as_asked == UNKNOWN != without:
            return f"it does not meet what {name} demands, in the address, its service or its variable"
    return why


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
