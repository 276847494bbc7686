"""Single statements through libpq, on a connection that the event loop watches all the time.

Every chat message has such a statement on its path. `run_pipeline` adds and removes the socket for each exchange, which
takes more of the CPU.
"""

import asyncio
import os
from collections.abc import Sequence
from time import perf_counter

import psycopg
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from app import log
from app.errors import DatabaseDown
from app.postgres.parameters import encode
from app.postgres.pipeline import ROW_FORMAT, Connection, Rows, Statement, abort, numbered, time_limit
from app.postgres.statement_log import log_statements


class Reader:
    """Runs statements on one connection and reads their rows; nothing else may use it until `close`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        # A descriptor of our own: libpq closes its one when the server is gone, and the next socket of the process may
        # get that number before we have stopped watching it.
        self._socket: int | None = os.dup(connection.fileno())
        self._loop = asyncio.get_running_loop()
        # Not of the connection, as in run_pipeline.
        self._rows = Transformer()
        self._answer: asyncio.Future[PGresult] | None = None
        self._results: list[PGresult] = []
        self._loop.add_reader(self._socket, self._on_ready)

    def close(self) -> None:
        """Stop watching the socket; the connection stays open."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            os.close(self._socket)
            self._socket = None

    async def read(self, statement: Statement, *, seconds: float) -> Rows:
        """The rows of a statement; raises as `execute` does. A caller that is cancelled meanwhile must close it."""
        if self._socket is None:
            raise DatabaseDown
        began = perf_counter()
        text, names = numbered(statement[0])
        with time_limit(self._connection, seconds, self._abort):
            result = await self._exchange(text, [encode(statement[1][name]) for name in names])
            if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
                raise error_from_result(result)
            if log.writes_debug():
                log_statements([statement[0]], [result.ntuples], began)
            self._rows.set_pgresult(result)
            return self._rows.load_rows(0, result.ntuples, tuple)

    async def _exchange(self, text: bytes, values: Sequence[bytes | None]) -> PGresult:
        answer: asyncio.Future[PGresult] = self._loop.create_future()
        self._answer = answer
        self._results = []
        self._pgconn.send_query_params(text, values, result_format=ROW_FORMAT)
        if self._pgconn.flush() and self._socket is not None:
            self._loop.add_writer(self._socket, self._on_ready)
        return await answer

    def _on_ready(self) -> None:
        """Read what has arrived; after the last result, the server is ready for the next statement."""
        answer = self._answer
        if answer is None or answer.done():
            # The server closes the connection; its message stays unread, for `is_closed_by_server` to find.
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
                    # An error of the implicit COMMIT comes after the statement's own result.
                    answer.set_result(self._results[-1])
                    return
                self._results.append(result)
            self._watch_again()
        except psycopg.Error as error:
            answer.set_exception(error)

    def _watch_again(self) -> None:
        """Where a reset comes together with the last bytes, libuv calls once for both and stops polling."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._loop.add_reader(self._socket, self._on_ready)

    def _abort(self, connection: Connection) -> None:
        """End the statement, whether or not the event loop notices that the socket was shut down."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(psycopg.OperationalError("no answer in time"))
        abort(connection)
