"""Connections to Postgres: a pool for each purpose.

Nothing in app/postgres keeps session state, so a pooler in transaction mode (PgBouncer, Neon, Heroku) may stand in
between: no prepared statements, no SET without LOCAL, no lock that outlives its transaction.
"""

import asyncio
import logging
import re
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from app import log
from app.deadline import Deadline
from app.errors import DatabaseDown, PoolSaturated
from app.postgres.errors import explain_connect_error, from_psycopg
from app.postgres.pipeline import (
    Connection,
    Rows,
    Statement,
    execute,
    rollback,
)
from app.postgres.queries import Queries
from app.postgres.transaction import LOCK_MS, LOCK_SECONDS, STATEMENT_SECONDS, run_transaction
from app.settings.database_address import resolve

# How long a caller waits for a connection; the pool's own checks and reconnects happen inside it.
CHECKOUT_SECONDS = 2.0


# For a new connection, where neither the address nor PGCONNECT_TIMEOUT says how long; hosts that sleep take 3 s.
CONNECT_SECONDS = 5


def connection_string(url: str) -> str:
    """Add how long to try, the encoding, and what lets the kernel notice within about 5 s that the server vanished.

    A pooler in transaction mode keeps the encoding for each client; of the rest of a session we rely on nothing.
    """
    return make_conninfo(
        url,
        connect_timeout=connect_seconds(url),
        client_encoding="utf8",
        application_name="clerk-backboard-sync",
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=2,
        tcp_user_timeout=5000,
    )


def connect_seconds(url: str) -> int:
    """How long to try to connect, by the address, its service or PGCONNECT_TIMEOUT; 0 or less is without limit."""
    given = resolve(url).get("connect_timeout", "")
    return int(given) if re.fullmatch(r"-?[0-9]{1,6}", given) else CONNECT_SECONDS


class Pool:
    """Connections of one purpose, so that no purpose can starve another.

    `waiting` bounds how many callers may queue for a connection; 0 means any number.
    """

    def __init__(self, url: str, *, name: str, size: int, waiting: int = 0) -> None:
        self.size = size
        self.name = name
        # psycopg counts a connection that it fails to open like one that is in use.
        self._taken = 0
        logging.getLogger("psycopg.pool").addFilter(_add_reason)
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            connection_string(url),
            open=False,
            name=name,
            min_size=1,
            max_size=size,
            max_waiting=waiting,
            # After a few seconds without a server the pool gives up, and the next caller makes it try again; with the
            # default of 300 s it could sleep for minutes after the server is back.
            reconnect_timeout=4,
            kwargs={"autocommit": True, "prepare_threshold": None},
        )

    async def open(self) -> None:
        """Begin to connect; a database that is down does not stop the process."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close(timeout=2)

    async def uses_tls(self) -> bool:
        """Whether connections are encrypted, at least up to the first pooler."""
        async with self.connection() as connection:
            return bool(connection.pgconn.ssl_in_use)

    def stats(self) -> dict[str, int]:
        """The numbers of connections, of idle ones, of callers that wait, and the maximum."""
        stats = self._pool.get_stats()
        return {
            "size": stats.get("pool_size", 0),
            "idle": stats.get("pool_available", 0),
            "waiting": stats.get("requests_waiting", 0),
            "max": self.size,
        }

    @asynccontextmanager
    async def connection(self, seconds: float = CHECKOUT_SECONDS) -> AsyncIterator[Connection]:
        """A connection in autocommit mode; a transaction that is open at the end is rolled back."""
        with log.timed("db_ms"):
            connection = await self.acquire(seconds)
        try:
            yield connection
        finally:
            await self.release(connection)

    async def execute(
        self, *statements: Statement, deadline: Deadline, seconds: float = STATEMENT_SECONDS
    ) -> list[Rows]:
        """Run statements on a free connection, in one round trip; returns the rows of each."""
        async with self.connection(deadline.left(CHECKOUT_SECONDS)) as connection:
            with log.timed("db_ms"):
                return await execute(connection, *statements, seconds=deadline.left(seconds))

    async def run_transaction(
        self, queries: Queries, *statements: Statement, deadline: Deadline, lock_ms: int = LOCK_MS
    ) -> list[Rows]:
        """Run a whole transaction on a free connection, in one round trip; returns the rows of `statements`."""
        async with self.connection(deadline.left(CHECKOUT_SECONDS)) as connection:
            seconds = deadline.left(LOCK_SECONDS)
            with log.timed("db_ms"):
                return await run_transaction(connection, queries, *statements, seconds=seconds, lock_ms=lock_ms)

    async def acquire(self, seconds: float = CHECKOUT_SECONDS) -> Connection:
        """Take a connection that the server has not closed; PoolSaturated or DatabaseDown after `seconds`."""
        give_up_at = asyncio.get_running_loop().time() + seconds
        while True:
            try:
                connection = await self._pool.getconn(give_up_at - asyncio.get_running_loop().time())
            except TooManyRequests as error:
                raise PoolSaturated from error
            except PoolTimeout as error:
                busy = self._taken >= self.size
                raise (PoolSaturated if busy else DatabaseDown) from error
            except psycopg.Error as error:
                raise from_psycopg(error) from error
            self._taken += 1
            if not is_closed_by_server(connection):
                return connection
            await self.release(connection, broken=True)

    async def release(self, connection: Connection, *, broken: bool = False) -> None:
        """Return a connection after rolling back what is open on it; the pool replaces a broken one."""
        self._taken -= 1
        if broken:
            await connection.close()
        elif connection.pgconn.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            await rollback(connection)
        await self._pool.putconn(connection)


def _add_reason(record: logging.LogRecord) -> bool:
    """Give a warning of the pool a reason that may be logged; its arguments quote hosts and users."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    error = next((argument for argument in arguments if isinstance(argument, psycopg.Error)), None)
    record.reason = explain_connect_error(error) if error else str(record.msg).partition("%")[0].rstrip(" :")
    return True


def is_closed_by_server(connection: Connection) -> bool:
    """Whether the server has closed an idle connection, which the kernel knows without a round trip.

    An idle connection has something to read only if the server closes it. `SELECT 1` would cost a round trip at every
    checkout, and hang on a silent server.
    """
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
