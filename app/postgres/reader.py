"""One reading statement, straight through libpq, on a connection that is listened to all the time.

Every chat message has such a statement on its path. `run_pipeline` begins and ends to listen for each exchange and asks
the driver what kind of value each is; this takes texts and lists of texts, and nothing else.
"""

import asyncio
import os
from collections.abc import Sequence

import psycopg
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from app.errors import DatabaseDown, DatabaseSlow, InvalidRequest
from app.postgres.errors import from_psycopg
from app.postgres.pipeline import Connection, Rows, Statement, abort, numbered, timed_out


class Reader:
    """Reads on one connection, which nothing else may use until `close`.

    It listens all the time, since beginning and ending to listen costs more system calls than the statement.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        # A number of our own for the socket: libpq closes its one when the server is gone, and the next connection that
        # anybody opens may have it, before we have stopped listening to it.
        self._socket: int | None = os.dup(connection.fileno())
        self._loop = asyncio.get_running_loop()
        self._rows = Transformer(connection)
        self._answer: asyncio.Future[PGresult] | None = None
        self._results: list[PGresult] = []
        self._loop.add_reader(self._socket, self._go_on)

    def close(self) -> None:
        """Stop listening; the connection stays as it is."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            os.close(self._socket)
            self._socket = None

    async def read(self, statement: Statement, *, seconds: float) -> Rows:
        """The rows of a statement; DatabaseUnavailable, or InvalidRequest for a value that Postgres cannot hold.

        As with `send`, the connection is abort after `seconds`. Whoever is cancelled meanwhile must close it.
        """
        if self._socket is None:
            raise DatabaseDown
        text, names = numbered(statement[0])
        timer = self._loop.call_later(seconds, abort, self._connection)
        try:
            result = await self._exchange(text, [_parameter(statement[1][name]) for name in names])
            if result.status != ExecStatus.TUPLES_OK:
                raise error_from_result(result)
            self._rows.set_pgresult(result)
            return self._rows.load_rows(0, result.ntuples, tuple)
        except (psycopg.Error, UnicodeEncodeError) as error:
            if timed_out(timer):
                raise DatabaseSlow from error
            raise from_psycopg(error) from error
        finally:
            timer.cancel()

    async def _exchange(self, text: bytes, values: Sequence[bytes]) -> PGresult:
        answer: asyncio.Future[PGresult] = self._loop.create_future()
        self._answer = answer
        self._results = []
        self._pgconn.send_query_params(text, values)
        if self._pgconn.flush() and self._socket is not None:
            self._loop.add_writer(self._socket, self._go_on)
        return await answer

    def _go_on(self) -> None:
        """Do what can be done without waiting; when there is no further result, the server is ready for more."""
        answer = self._answer
        if answer is None or answer.done():
            # A goodbye: it stays unread, for `is_closed_by_server` to find.
            self.close()
            return
        try:
            self._pgconn.consume_input()
            if self._pgconn.flush():
                return
            if self._socket is not None:
                self._loop.remove_writer(self._socket)
            while not self._pgconn.is_busy():
                result = self._pgconn.get_result()
                if result is None:
                    answer.set_result(self._results[0])
                    return
                self._results.append(result)
        except psycopg.Error as error:
            answer.set_exception(error)


def _parameter(value: str | Sequence[str]) -> bytes:
    if isinstance(value, str):
        text = value
    else:
        items = [item.replace("\\", "\\\\").replace('"', '\\"') for item in value]
        text = '{"' + '","'.join(items) + '"}' if items else "{}"
    if "\0" in text:  # libpq would end the text there, and ask for something else.
        raise InvalidRequest("unstorable_text")
    return text.encode()
