"""One reading statement, straight through libpq: the driver's own way costs four times as much.

Every chat message has such a statement on its path. `send` (see database) makes a cursor, a query and two waits of it;
this sends it, waits once and reads the rows. It takes values that are texts or lists of texts, and nothing else.
"""

import asyncio
import re
from collections.abc import Sequence
from functools import cache

import psycopg
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from app.database import Connection, Rows, Statement, cut, translated
from app.errors import DatabaseUnavailable


async def read(connection: Connection, statement: Statement, *, seconds: float) -> Rows:
    """The rows of a statement; DatabaseUnavailable, or BadEvent for a value that Postgres cannot hold.

    As with `send`, the connection is cut after `seconds`. Nothing else may use it meanwhile.
    """
    text, names = _numbered(statement[0])
    loop = asyncio.get_running_loop()
    timer = loop.call_later(seconds, cut, connection)
    try:
        values = [_parameter(statement[1][name]) for name in names]
        result = await _exchange(connection, text, values)
        if result.status != ExecStatus.TUPLES_OK:
            raise error_from_result(result)
        rows = Transformer(connection)
        rows.set_pgresult(result)
        return rows.load_rows(0, result.ntuples, tuple)
    except (psycopg.Error, UnicodeEncodeError) as error:
        if loop.time() >= timer.when():
            raise DatabaseUnavailable("database_slow") from error
        raise translated(error) from error
    finally:
        timer.cancel()


async def _exchange(connection: Connection, text: bytes, values: Sequence[bytes]) -> PGresult:
    """Send, and wait for the result; whoever is cancelled meanwhile must not use the connection again."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[PGresult] = loop.create_future()
    pgconn, socket, results = connection.pgconn, connection.fileno(), list[PGresult]()
    pgconn.send_query_params(text, values)
    if pgconn.flush():
        loop.add_writer(socket, _go_on, pgconn, results, answer)
    loop.add_reader(socket, _go_on, pgconn, results, answer)
    try:
        return await answer
    finally:
        loop.remove_reader(socket)
        loop.remove_writer(socket)


def _go_on(pgconn: PGconn, results: list[PGresult], answer: "asyncio.Future[PGresult]") -> None:
    """Do what can be done without waiting; the server is ready for more when there is no further result."""
    if answer.done():
        return
    try:
        pgconn.consume_input()
        if pgconn.flush():
            return
        while not pgconn.is_busy():
            result = pgconn.get_result()
            if result is None:
                answer.set_result(results[0])
                return
            results.append(result)
    except psycopg.Error as error:
        answer.set_exception(error)


@cache
def _numbered(text: bytes) -> tuple[bytes, Sequence[str]]:
    """The statement with libpq's own placeholders, and the names of its values in their order."""
    names = list(dict.fromkeys(re.findall(rb"%\((\w+)\)s", text)))
    for number, name in enumerate(names, start=1):
        text = text.replace(b"%%(%s)s" % name, b"$%d" % number)
    return text.replace(b"%%", b"%"), [name.decode() for name in names]


def _parameter(value: str | Sequence[str]) -> bytes:
    if isinstance(value, str):
        return value.encode()
    items = [item.replace("\\", "\\\\").replace('"', '\\"') for item in value]
    return ('{"' + '","'.join(items) + '"}').encode() if items else b"{}"
