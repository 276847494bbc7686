"""Postgres: two pools, statements sent in one round trip, and what the driver's errors mean here.

Nothing in here keeps session state, so a pooler in transaction mode (PgBouncer, Neon, Heroku) may stand in
between: no prepared statements, no SET without LOCAL, no lock that outlives its transaction.
"""

import asyncio
import logging
import select
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from app.connect_errors import meaning_of
from app.errors import BadEvent, DatabaseUnavailable
from app.roundtrip import Connection, Rows, Statement, round_trip

BEGIN: Statement = (b"BEGIN ISOLATION LEVEL READ COMMITTED", {})
COMMIT: Statement = (b"COMMIT", {})
ROLLBACK: Statement = (b"ROLLBACK", {})

# How long a caller waits for a connection; the pool's own checks and reconnects happen inside it.
CHECKOUT_SECONDS = 2.0
# The lookup pool: one connection for the batched reader, one for everything short.
LOOKUP_CONNECTIONS = 2
# A lost race for a user's lock is over sooner than an outage.
LOCK_RETRY_AFTER = 3


def connection_string(url: str) -> str:
    """The URL with what lets the kernel notice a server that vanished without a word, within about 5 s."""
    return make_conninfo(
        url,
        connect_timeout=2,
        application_name="clerk-backboard-sync",
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=2,
        tcp_user_timeout=5000,
    )


async def why_refused(url: str) -> str:
    """Why no connection comes about."""
    try:
        await (await psycopg.AsyncConnection.connect(connection_string(url))).close()
    except psycopg.Error as error:
        return meaning_of(error)
    return "it was busy"


class Pool:
    """Connections of one purpose, so that no purpose can starve another.

    `waiting` bounds how many callers may queue for a place; 0 means as many as come.
    """

    def __init__(self, url: str, *, name: str, size: int, waiting: int = 0) -> None:
        self.size = size
        self.name = name
        # psycopg counts a place that it tries in vain to connect like one that somebody holds.
        self._taken = 0
        logging.getLogger("psycopg.pool").addFilter(_explain)
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            connection_string(url),
            open=False,
            name=name,
            min_size=1,
            max_size=size,
            max_waiting=waiting,
            # After a few seconds without a server the pool forgets the place, and the next caller has it tried
            # afresh; with the driver's 300 s it could sleep for minutes after the server is back.
            reconnect_timeout=4,
            kwargs={"autocommit": True, "prepare_threshold": None},
        )

    async def open(self) -> None:
        """Begin to connect; a database that is down does not stop the process."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close(timeout=2)

    async def uses_tls(self) -> bool:
        """Whether a connection of this pool is encrypted, as far as the first machine on the way."""
        async with self.connection() as connection:
            return bool(connection.pgconn.ssl_in_use)

    def figures(self) -> dict[str, int]:
        """How many connections there are, how many are idle, and how many callers wait."""
        stats = self._pool.get_stats()
        return {
            "size": stats.get("pool_size", 0),
            "idle": stats.get("pool_available", 0),
            "waiting": stats.get("requests_waiting", 0),
            "max": self.size,
        }

    @asynccontextmanager
    async def connection(self, seconds: float = CHECKOUT_SECONDS) -> AsyncIterator[Connection]:
        """A connection in autocommit mode; what is still open on it at the end is rolled back."""
        connection = await self.take(seconds)
        try:
            yield connection
        finally:
            await self.give_back(connection)

    async def take(self, seconds: float = CHECKOUT_SECONDS) -> Connection:
        """Take a connection that the server has not hung up on; DatabaseUnavailable after `seconds`."""
        give_up_at = asyncio.get_running_loop().time() + seconds
        while True:
            try:
                connection = await self._pool.getconn(give_up_at - asyncio.get_running_loop().time())
            except TooManyRequests as error:
                raise DatabaseUnavailable("saturated") from error
            except PoolTimeout as error:
                busy = self._taken >= self.size
                raise DatabaseUnavailable("saturated" if busy else "database_down") from error
            except psycopg.Error as error:
                raise translated(error) from error
            self._taken += 1
            if not hung_up(connection):
                return connection
            await self.give_back(connection, broken=True)

    async def give_back(self, connection: Connection, *, broken: bool = False) -> None:
        """Return a connection, rolling back what is open on it; the pool replaces a broken one."""
        self._taken -= 1
        if broken:
            await connection.close()
        elif connection.pgconn.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            await rollback(connection)
        await self._pool.putconn(connection)


def _explain(record: logging.LogRecord) -> bool:
    """Give a warning of the pool a reason that may be written; its arguments quote hosts and users."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    error = next((argument for argument in arguments if isinstance(argument, psycopg.Error)), None)
    record.reason = meaning_of(error) if error else str(record.msg).partition("%")[0].rstrip(" :")
    return True


def hung_up(connection: Connection) -> bool:
    """Whether the server closed an idle connection, asked of the kernel instead of the server.

    An idle connection has nothing to read, unless the server said goodbye. A SELECT 1 would cost a round trip
    at every checkout and hang on a silent server.
    """
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def has_fired(timer: asyncio.TimerHandle) -> bool:
    """Whether its time is over; uvloop counts in milliseconds, so its clock may be a hair behind.

    For less than half of one it makes no timer but calls at once, and what it returns knows no time.
    """
    return not hasattr(timer, "when") or asyncio.get_running_loop().time() >= timer.when() - 0.001


def cut(connection: Connection) -> None:
    """End whatever the connection waits for, at once.

    A cancelled psycopg query still waits for the server, 5 s and more with a silent one; shutting the socket
    down under it makes it fail immediately.
    """
    if connection.closed:
        return
    # The other side may have been quicker, which is an OSError.
    with socket.socket(fileno=socket.dup(connection.fileno())) as under, suppress(OSError):
        under.shutdown(socket.SHUT_RDWR)


async def send(connection: Connection, *statements: Statement, seconds: float) -> list[Rows]:
    """Send statements in one round trip and return the rows of each; the first error ends them all.

    Raises DatabaseUnavailable, or BadEvent for a value that Postgres cannot hold. After `seconds` the
    connection is cut, so this returns in time whatever the server does.
    """
    loop = asyncio.get_running_loop()
    timer = loop.call_later(seconds, cut, connection)
    try:
        return await round_trip(connection, statements)
    except (psycopg.Error, UnicodeEncodeError) as error:
        if has_fired(timer):
            raise DatabaseUnavailable("database_slow") from error
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            # It may be the connection's alone: opened while the database was read-only, or to what was the primary.
            await connection.close()
        raise translated(error) from error
    finally:
        timer.cancel()


async def rollback(connection: Connection) -> None:
    """End the transaction; a connection on which that fails is closed, and the server does it."""
    try:
        await send(connection, ROLLBACK, seconds=1.0)
    except DatabaseUnavailable:
        await connection.close()


def transaction(limits: bytes, *statements: Statement, lock_ms: int = 3000) -> Sequence[Statement]:
    """The statements of a whole short transaction, its waits bounded by the server itself."""
    return (BEGIN, set_limits(limits, lock_ms=lock_ms), *statements, COMMIT)


def set_limits(limits: bytes, *, lock_ms: int = 3000, statement_ms: int = 3300) -> Statement:
    """Bound the waits of the transaction that has just begun, in milliseconds; the lock's must end first.

    A transaction idle for 15 s belongs to a process that has vanished without a word: the server then ends it,
    and with it the lock.
    """
    values = {
        "lock_timeout": f"{lock_ms}ms",
        "statement_timeout": f"{statement_ms}ms",
        "idle_timeout": "15000ms",
    }
    return limits, values


def translated(error: Exception) -> DatabaseUnavailable | BadEvent:
    """What a driver's error means. Its message is left behind: it quotes rows, hosts and users."""
    if isinstance(error, UnicodeEncodeError):
        return BadEvent("unstorable_text")
    state = getattr(error, "sqlstate", None)
    if state is None:
        if isinstance(error, psycopg.DataError):  # NUL in a text: raised by the driver, without a state.
            return BadEvent("unstorable_text")
        return DatabaseUnavailable("database_down")
    if state.startswith("22") or state == "54000":
        return BadEvent("unstorable_text")
    constraint = error.diag.constraint_name if isinstance(error, psycopg.Error) else None
    if state == "55P03":
        return DatabaseUnavailable("lock_timeout", sqlstate=state, retry_after=LOCK_RETRY_AFTER)
    return DatabaseUnavailable(_reason(state), sqlstate=state, constraint=constraint)


# By SQLSTATE class or code: PostgreSQL documentation, appendix A.
_REASONS: Mapping[str, str] = {
    "08": "database_down",
    "57P": "database_down",
    "57014": "database_slow",
    "53": "database_full",
    "25006": "database_read_only",
    "25P03": "database_slow",
    "40": "database_conflict",
    "23": "database_constraint",
    "3D": "database_missing",
    "28": "database_refused",
    "42P01": "schema_missing",
    "42703": "schema_missing",
}


def _reason(state: str) -> str:
    for length in (5, 3, 2):
        if reason := _REASONS.get(state[:length]):
            return reason
    return "database_error"
