"""Statements in one round trip to Postgres, straight through libpq: sent in one flush, waited for once.

The driver's own pipeline flushes every statement by itself and waits as often, and each flush wakes the server up.
"""

import asyncio
import re
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.abc import PQGen
from psycopg.abc import Transformer as Types
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import NotSupportedError, OperationalError, error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import READY_R, WAIT_R, WAIT_RW

from app.errors import DatabaseSlow, DatabaseUnavailable
from app.postgres.errors import from_psycopg

Connection = AsyncConnection[tuple[Any, ...]]
# Text with %(name)s for values, and the values.
Statement = tuple[bytes, Mapping[str, Any]]
Rows = list[tuple[Any, ...]]

_COPIES = frozenset({ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH})


async def run_pipeline(connection: Connection, statements: Sequence[Statement]) -> list[Rows]:
    """The rows of each statement; the first error of any, which ends them all, as the driver's own exception."""
    types: Types = Transformer(connection)
    commands = [_command(types, *statement) for statement in statements]
    results = await connection.wait(_exchange(connection.pgconn, commands))
    for result in results:
        if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            raise error_from_result(result)
    return [_rows(types, result) for result in results]


@cache
def numbered(text: bytes) -> tuple[bytes, Sequence[str]]:
    """The statement with libpq's own placeholders, and the names of its values in their order."""
    names = list(dict.fromkeys(re.findall(rb"%\((\w+)\)s", text)))
    for number, name in enumerate(names, start=1):
        text = text.replace(b"%%(%s)s" % name, b"$%d" % number)
    return text.replace(b"%%", b"%"), [name.decode() for name in names]


def _command(types: Types, text: bytes, values: Mapping[str, Any]) -> tuple[Any, ...]:
    """What libpq is given of a statement: its text, and the values with their types and formats."""
    text, names = numbered(text)
    parameters = types.dump_sequence([values[name] for name in names], [PyFormat.AUTO] * len(names))
    return text, parameters, types.types or (), types.formats or ()


def _exchange(pgconn: PGconn, commands: Sequence[tuple[Any, ...]]) -> PQGen[list[PGresult]]:
    """Yields what it has to wait for."""
    pgconn.enter_pipeline_mode()
    for command in commands:
        pgconn.send_query_params(*command)
    pgconn.pipeline_sync()
    results: list[PGresult] = []
    while not results or results[-1].status != ExecStatus.PIPELINE_SYNC:
        ready = yield WAIT_RW if pgconn.flush() else WAIT_R
        # None is what the driver sends when it goes on after a cancellation.
        if ready and ready & READY_R:
            try:
                pgconn.consume_input()
            except OperationalError:
                # Why the server leaves, it says before; behind that there is nothing but its end.
                if any(result.status == ExecStatus.FATAL_ERROR for result in results):
                    return results
                raise
            results += _received(pgconn)
    pgconn.exit_pipeline_mode()
    return results[:-1]


def _received(pgconn: PGconn) -> list[PGresult]:
    """What has come so far. Behind the result of a statement there is none once, and twice where there is no more."""
    results: list[PGresult] = []
    nones = 0
    while nones < 2 and not pgconn.is_busy():  # noqa: PLR2004  # Once and twice, as said.
        result = pgconn.get_result()
        if result is None:
            nones += 1
            continue
        if result.status in _COPIES:  # libpq would say so again and again.
            raise NotSupportedError("COPY")
        nones = 0
        results.append(result)
        if result.status == ExecStatus.PIPELINE_SYNC:
            break
    return results


def _rows(types: Types, result: PGresult) -> Rows:
    types.set_pgresult(result)
    return types.load_rows(0, result.ntuples, tuple) if result.nfields else []


ROLLBACK: Statement = (b"ROLLBACK", {})


def timed_out(timer: asyncio.TimerHandle) -> bool:
    """Whether its time is over; uvloop counts in milliseconds, so its clock may be a hair behind.

    For less than half of one it makes no timer but calls at once, and what it returns knows no time.
    """
    return not hasattr(timer, "when") or asyncio.get_running_loop().time() >= timer.when() - 0.001


def abort(connection: Connection) -> None:
    """End whatever the connection waits for, at once.

    A cancelled psycopg query still waits for the server, 5 s and more with a silent one; shutting the socket
    down under it makes it fail immediately.
    """
    if connection.closed:
        return
    # The other side may have been quicker, which is an OSError.
    with socket.socket(fileno=socket.dup(connection.fileno())) as under, suppress(OSError):
        under.shutdown(socket.SHUT_RDWR)


async def execute(connection: Connection, *statements: Statement, seconds: float) -> list[Rows]:
    """Send statements in one round trip and return the rows of each; the first error ends them all.

    Raises DatabaseUnavailable, or InvalidRequest for a value that Postgres cannot hold. After `seconds` the
    connection is aborted, so this returns in time whatever the server does.
    """
    loop = asyncio.get_running_loop()
    timer = loop.call_later(seconds, abort, connection)
    try:
        return await run_pipeline(connection, statements)
    except (psycopg.Error, UnicodeEncodeError) as error:
        if timed_out(timer):
            raise DatabaseSlow from error
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            # It may be the connection's alone: opened while the database was read-only, or to what was the primary.
            await connection.close()
        raise from_psycopg(error) from error
    finally:
        timer.cancel()


async def rollback(connection: Connection) -> None:
    """End the transaction; a connection on which that fails is closed, and the server does it."""
    try:
        await execute(connection, ROLLBACK, seconds=1.0)
    except DatabaseUnavailable:
        await connection.close()
