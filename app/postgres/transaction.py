"""Transactions with waits that the server bounds: BEGIN, the timeouts, the lock and the first reads leave in one flush.

The lock and what is read under it have to be two statements: in one, the reading would see what stood before the wait.
"""

from app import log
from app.deadline import Deadline
from app.postgres.pipeline import Connection, Rows, Statement, execute, rollback
from app.postgres.queries import Queries

BEGIN: Statement = (b"BEGIN ISOLATION LEVEL READ COMMITTED", {})
COMMIT: Statement = (b"COMMIT", {})

# What the server allows, in milliseconds. The lock's timeout must end first, or the statement's would be reported.
LOCK_MS = 3000
STATEMENT_MS = 3300
# A transaction idle for so long belongs to a process that vanished: the server ends it, and with it the lock.
IDLE_MS = 15_000
# The lock of a transaction that only writes one row: the rival is done within a round trip.
SHORT_LOCK_MS = 1000

STATEMENT_SECONDS = 3.0
# The server's own limit for the lock, and a little more, so that its refusal can arrive.
LOCK_SECONDS = LOCK_MS / 1000 + 0.6


def local_timeouts(queries: Queries, *, lock_ms: int = LOCK_MS, statement_ms: int = STATEMENT_MS) -> Statement:
    """Bound the waits of the transaction that has just begun, in milliseconds."""
    values = {
        "lock_timeout": f"{lock_ms}ms",
        "statement_timeout": f"{statement_ms}ms",
        "idle_timeout": f"{IDLE_MS}ms",
    }
    return queries.set_local_timeouts, values


async def run_transaction(
    connection: Connection,
    queries: Queries,
    *statements: Statement,
    seconds: float,
    lock_ms: int = LOCK_MS,
    statement_ms: int = STATEMENT_MS,
) -> list[Rows]:
    """Run a whole transaction in one round trip; returns the rows of `statements`."""
    timeouts = local_timeouts(queries, lock_ms=lock_ms, statement_ms=statement_ms)
    rows = await execute(connection, BEGIN, timeouts, *statements, COMMIT, seconds=seconds)
    return rows[2:-1]


class Transaction:
    """A transaction under way on a connection. Releasing the connection to its pool rolls back what is not committed.

    Every method raises DatabaseUnavailable or a class below it, and adds its time to `db_ms` of the log line.
    """

    def __init__(self, connection: Connection, queries: Queries, deadline: Deadline) -> None:
        self._connection = connection
        self._queries = queries
        self._deadline = deadline

    async def begin(self, *statements: Statement, committed_first: Statement | None = None) -> list[Rows]:
        """Begin, and run `statements` in the same flush; returns their rows.

        `committed_first` is written and committed by itself before the transaction begins, in the same flush too.
        """
        first: tuple[Statement, ...] = ()
        seconds = LOCK_SECONDS
        if committed_first is not None:
            first = (BEGIN, local_timeouts(self._queries, lock_ms=SHORT_LOCK_MS), committed_first, COMMIT)
            seconds += SHORT_LOCK_MS / 1000
        rows = await self._send(*first, BEGIN, local_timeouts(self._queries), *statements, seconds=seconds)
        return rows[-len(statements) :]

    async def execute(self, *statements: Statement) -> list[Rows]:
        """Run statements in the open transaction; returns their rows."""
        return await self._send(*statements, seconds=STATEMENT_SECONDS)

    async def commit(self, *statements: Statement, seconds: float = STATEMENT_SECONDS) -> list[Rows]:
        """Run statements and COMMIT in one flush; returns the rows of `statements`."""
        rows = await self._send(*statements, COMMIT, seconds=seconds)
        return rows[:-1]

    async def rollback(self) -> None:
        await rollback(self._connection)

    async def _send(self, *statements: Statement, seconds: float) -> list[Rows]:
        with log.timed("db_ms"):
            return await execute(self._connection, *statements, seconds=self._deadline.left(seconds))
