"""Several statements in one round trip to Postgres, through libpq's pipeline mode.

psycopg's own pipeline flushes every statement by itself, and each flush wakes the server up.
"""

import asyncio
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from time import perf_counter
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.abc import PQGen
from psycopg.abc import Transformer as Types
from psycopg.adapt import Transformer
from psycopg.errors import NotSupportedError, OperationalError, error_from_result
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import READY_R, WAIT_R, WAIT_RW

from app import log
from app.errors import DatabaseSlow, DatabaseUnavailable
from app.postgres.errors import from_psycopg
from app.postgres.parameters import encode
from app.postgres.statement_log import log_statements

Connection = AsyncConnection[tuple[Any, ...]]
# SQL with %(name)s for values, and the values.
Statement = tuple[bytes, Mapping[str, Any]]
Rows = list[tuple[Any, ...]]

# In binary a value is the same under every DateStyle, TimeZone, IntervalStyle and extra_float_digits of the database.
ROW_FORMAT = Format.BINARY

ROLLBACK: Statement = (b"ROLLBACK", {})
_COPIES = frozenset({ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH})


async def execute(connection: Connection, *statements: Statement, seconds: float) -> list[Rows]:
    """Send statements in one round trip and return the rows of each; the first error ends them all.

    Raises DatabaseUnavailable, or InvalidRequest for a value that Postgres cannot hold. After `seconds` the
    connection is aborted, so this returns in time with a silent server too.
    """
    with time_limit(connection, seconds):
        try:
            return await run_pipeline(connection, statements)
        except psycopg.errors.ReadOnlySqlTransaction:
            # Only this connection may be read-only: opened during a failover, or to the former primary.
            await connection.close()
            raise


async def rollback(connection: Connection) -> None:
    """End the transaction; if that fails, close the connection, which ends it at the server."""
    try:
        await execute(connection, ROLLBACK, seconds=1.0)
    except DatabaseUnavailable:
        await connection.close()


@contextmanager
def time_limit(
    connection: Connection, seconds: float, end: Callable[[Connection], None] | None = None
) -> Iterator[None]:
    """Abort the connection after `seconds`, by default with `abort`, and translate the driver's errors."""
    timer = asyncio.get_running_loop().call_later(seconds, end or abort, connection)
    try:
        yield
    except (psycopg.Error, UnicodeError) as error:
        if _has_fired(timer):
            raise DatabaseSlow from error
        raise from_psycopg(error, is_utf8=is_utf8(connection)) from error
    finally:
        timer.cancel()


def is_utf8(connection: Connection) -> bool:
    """Whether the database stores UTF-8, which the server says when a connection begins."""
    return connection.closed or connection.pgconn.parameter_status(b"server_encoding") in {b"UTF8", None}


def _has_fired(timer: asyncio.TimerHandle) -> bool:
    """The clock of uvloop counts in milliseconds, so it may be a hair behind the timer's.

    For less than half a millisecond it makes no timer but calls at once, and returns a handle without a time.
    """
    return not hasattr(timer, "when") or asyncio.get_running_loop().time() >= timer.when() - 0.001


def abort(connection: Connection) -> None:
    """End what the connection waits for, at once.

    A cancelled psycopg query still waits for the server, 5 s and more with a silent one; shutting the socket
    down under it makes it fail immediately.
    """
    if connection.closed:
        return
    # An OSError if the other side has closed it already.
    with socket.socket(fileno=socket.dup(connection.fileno())) as duplicate, suppress(OSError):
        duplicate.shutdown(socket.SHUT_RDWR)


async def run_pipeline(connection: Connection, statements: Sequence[Statement]) -> list[Rows]:
    """Return the rows of each statement; raise the first error, which ends them all, as the driver's exception."""
    # Without the connection, so that text is UTF-8 and times are in UTC in every session.
    types: Types = Transformer()
    began = perf_counter()
    commands = [_command(*statement) for statement in statements]
    results = await connection.wait(_exchange(connection.pgconn, commands))
    for result in results:
        if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            raise error_from_result(result)
    if log.writes_debug():
        log_statements([text for text, _ in statements], [result.ntuples for result in results], began)
    return [_rows(types, result) for result in results]


@cache
def numbered(text: bytes) -> tuple[bytes, Sequence[str]]:
    """The statement with libpq's placeholders ($1), and the names of its values in their order."""
    names = list(dict.fromkeys(re.findall(rb"%\((\w+)\)s", text)))
    for number, name in enumerate(names, start=1):
        text = text.replace(b"%%(%s)s" % name, b"$%d" % number)
    return text.replace(b"%%", b"%"), [name.decode() for name in names]


def _command(text: bytes, values: Mapping[str, Any]) -> tuple[Any, ...]:
    """The arguments of libpq's send_query_params: text, values, their types and formats, the format of the rows."""
    text, names = numbered(text)
    return text, [encode(values[name]) for name in names], None, None, ROW_FORMAT


def _exchange(pgconn: PGconn, commands: Sequence[tuple[Any, ...]]) -> PQGen[list[PGresult]]:
    """Send the commands and collect their results; yields what to wait for, as psycopg's generators do."""
    pgconn.enter_pipeline_mode()
    for command in commands:
        pgconn.send_query_params(*command)
    pgconn.pipeline_sync()
    results: list[PGresult] = []
    while not results or results[-1].status != ExecStatus.PIPELINE_SYNC:
        ready = yield WAIT_RW if pgconn.flush() else WAIT_R
        # psycopg sends None when it goes on after a cancellation.
        if ready and ready & READY_R:
            try:
                pgconn.consume_input()
            except OperationalError:
                # The server said before why it closes the connection, so that is the error to report.
                if any(result.status == ExecStatus.FATAL_ERROR for result in results):
                    return results
                raise
            results += _read_results(pgconn)
    pgconn.exit_pipeline_mode()
    return results[:-1]


def _read_results(pgconn: PGconn) -> list[PGresult]:
    """The results that have arrived. libpq puts one None after the results of a statement, and two at the end."""
    results: list[PGresult] = []
    nones = 0
    while nones < 2 and not pgconn.is_busy():  # noqa: PLR2004  # As said above.
        result = pgconn.get_result()
        if result is None:
            nones += 1
            continue
        if result.status in _COPIES:  # libpq would return it again and again.
            raise NotSupportedError("COPY")
        nones = 0
        results.append(result)
        if result.status == ExecStatus.PIPELINE_SYNC:
            break
    return results


def _rows(types: Types, result: PGresult) -> Rows:
    types.set_pgresult(result)
    return types.load_rows(0, result.ntuples, tuple) if result.nfields else []
