"""Transactions: which rows they return, which statements they commit, and how long they wait."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from app.deadline import Deadline
from app.errors import DatabaseSlow, DatabaseUnavailable, DeadlineExceeded, LockTimeout
from app.postgres.pipeline import Connection, Statement, execute
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.postgres.transaction import LOCK_SECONDS, SHORT_LOCK_MS, Transaction, run_transaction
from app.users.repository import UserRepository
from tools.processes import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.ways("direct", "pooled")]

Database = psycopg.Connection[dict[str, Any]]

CLERK_ID = "user_a"
ONE: Statement = (b"SELECT 1", {})
TWO: Statement = (b"SELECT 2 UNION SELECT 3 ORDER BY 1", {})
FAILS: Statement = (b"SELECT * FROM no_such_table", {})
INSERT: Statement = (b"INSERT INTO deleted_users (clerk_id) VALUES ('user_a') RETURNING clerk_id", {})
TIMEOUTS: Statement = (
    b"SELECT array_agg(current_setting(name)) FROM unnest(%(names)s::TEXT[]) AS name",
    {"names": ["lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"]},
)

QUERIES = Queries.load()
USERS = UserRepository(QUERIES)


@pytest.fixture
async def pool(database_url: str, database: Database) -> AsyncIterator[Pool]:  # noqa: ARG001  # Empties the tables.
    pool = Pool(database_url, name="transactions", size=1)
    await pool.open()
    yield pool
    await pool.close()


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as connection:
        yield connection


@pytest.fixture
def transaction(connection: Connection) -> Transaction:
    return Transaction(connection, QUERIES, Deadline())


def tombstones(database: Database) -> int:
    return len(database.execute("SELECT 1 FROM deleted_users").fetchall())


def tries(database: Database) -> list[int]:
    return [row["tries"] for row in database.execute("SELECT tries FROM provisioning_attempts").fetchall()]


async def test_begin_returns_the_rows_of_its_own_statements(transaction: Transaction) -> None:
    """Not those of BEGIN, of the timeouts, or of `committed_first`."""
    assert await transaction.begin(ONE, TWO) == [[(1,)], [(2,), (3,)]]
    await transaction.rollback()

    assert await transaction.begin(TWO, committed_first=ONE) == [[(2,), (3,)]]


async def test_execute_and_commit_return_the_rows_of_their_own_statements(
    transaction: Transaction, database: Database
) -> None:
    await transaction.begin(ONE)

    assert await transaction.execute(TWO, ONE) == [[(2,), (3,)], [(1,)]]
    assert tombstones(database) == 0
    assert await transaction.commit(INSERT, TWO) == [[(CLERK_ID,)], [(2,), (3,)]]
    assert tombstones(database) == 1


async def test_committed_first_stands_after_a_rollback(transaction: Transaction, database: Database) -> None:
    await transaction.begin(INSERT, committed_first=USERS.record_attempt(CLERK_ID))
    assert tries(database) == [1]

    await transaction.rollback()

    assert (tries(database), tombstones(database)) == ([1], 0)


async def test_committed_first_stands_if_a_statement_of_begin_fails(
    transaction: Transaction, database: Database
) -> None:
    with pytest.raises(DatabaseUnavailable):
        await transaction.begin(INSERT, FAILS, committed_first=USERS.record_attempt(CLERK_ID))
    await transaction.rollback()

    assert (tries(database), tombstones(database)) == ([1], 0)


async def test_nothing_is_begun_if_committed_first_fails(transaction: Transaction, database: Database) -> None:
    with pytest.raises(DatabaseUnavailable):
        await transaction.begin(INSERT, committed_first=FAILS)
    await transaction.rollback()

    assert tombstones(database) == 0


async def test_a_failed_statement_of_commit_commits_nothing(transaction: Transaction, database: Database) -> None:
    await transaction.begin(ONE)

    with pytest.raises(DatabaseUnavailable):
        await transaction.commit(INSERT, FAILS)
    await transaction.rollback()

    assert tombstones(database) == 0


async def test_releasing_the_connection_rolls_back_and_unlocks(
    pool: Pool, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """By ourselves: the driver's pool would do it too, and log a warning each time."""
    async with pool.connection() as connection:
        await Transaction(connection, QUERIES, Deadline()).begin(USERS.lock(CLERK_ID), INSERT)
    await pool.close()

    assert caplog.records == []
    assert tombstones(database) == 0
    free = database.execute("SELECT pg_try_advisory_lock(hashtextextended('app:user:' || %s, 0))", [CLERK_ID])
    assert list(free.fetchall()[0].values()) == [True]


async def test_reads_behind_the_lock_see_the_commit_of_its_last_holder(
    transaction: Transaction, database: Database, direct_url: str
) -> None:
    """In one statement with the lock, they would see what stood before the wait."""
    with psycopg.connect(direct_url) as rival:
        rival.execute(*lock_of(CLERK_ID))
        begun = asyncio.create_task(transaction.begin(USERS.lock(CLERK_ID), USERS.get_state(CLERK_ID)))
        await asyncio.to_thread(wait_for_a_waiter, database)
        rival.execute("INSERT INTO deleted_users (clerk_id) VALUES (%s)", [CLERK_ID])
    _, states = await begun

    (*_, tombstone_at, _, _) = states[0]
    assert tombstone_at is not None


def lock_of(clerk_id: str) -> tuple[bytes, list[str]]:
    return b"SELECT pg_advisory_xact_lock(hashtextextended('app:user:' || %s, 0))", [clerk_id]


def wait_for_a_waiter(database: Database) -> None:
    waiting = b"SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory'"
    wait_until(lambda: bool(database.execute(waiting).fetchall()))


@pytest.mark.ways("direct")  # It takes three seconds; the next test goes both ways.
async def test_a_lock_held_elsewhere_is_a_lock_timeout(transaction: Transaction, direct_url: str) -> None:
    """The server ends the wait, before LOCK_SECONDS are over and the connection is aborted."""
    with psycopg.connect(direct_url) as rival:
        rival.execute(*lock_of(CLERK_ID))
        with pytest.raises(LockTimeout) as caught:
            async with asyncio.timeout(LOCK_SECONDS):
                await transaction.begin(USERS.lock(CLERK_ID))

    assert caught.value.retry_after == 3
    await transaction.rollback()
    assert await transaction.begin(USERS.lock(CLERK_ID), ONE) == [[(b"",)], [(1,)]]


async def test_committed_first_waits_for_a_lock_only_shortly(transaction: Transaction, direct_url: str) -> None:
    """Its rival writes one row, and is done within a round trip."""
    with psycopg.connect(direct_url) as rival:
        rival.execute("INSERT INTO provisioning_attempts (clerk_id) VALUES (%s)", [CLERK_ID])
        with pytest.raises(LockTimeout):
            async with asyncio.timeout(SHORT_LOCK_MS / 1000 + 1):
                await transaction.begin(ONE, committed_first=USERS.record_attempt(CLERK_ID))


async def test_the_servers_timeouts_hold_for_the_transaction_alone(
    transaction: Transaction, connection: Connection
) -> None:
    """A pooler hands the same connection to another client afterwards."""
    (before,) = await execute(connection, TIMEOUTS, seconds=5)
    (within,) = await transaction.begin(TIMEOUTS)
    await transaction.commit()
    (after,) = await execute(connection, TIMEOUTS, seconds=5)

    assert within == [(["3s", "3300ms", "15s"],)]
    assert after == before != within


async def test_a_statement_is_given_up_when_the_request_has_no_time_left(connection: Connection) -> None:
    """The connection is aborted."""
    transaction = Transaction(connection, QUERIES, Deadline(0.3))
    await transaction.begin(ONE)

    with pytest.raises(DatabaseSlow):
        await transaction.commit((b"SELECT pg_sleep(60)", {}))

    assert connection.closed


async def test_nothing_is_sent_after_the_deadline(connection: Connection, database: Database) -> None:
    with pytest.raises(DeadlineExceeded):
        await Transaction(connection, QUERIES, Deadline(0.01)).begin(INSERT)

    assert connection.info.transaction_status.name == "IDLE"
    assert tombstones(database) == 0


async def test_a_whole_transaction_returns_the_rows_of_its_own_statements(
    connection: Connection, database: Database
) -> None:
    rows = await run_transaction(connection, QUERIES, INSERT, TWO, TIMEOUTS, seconds=5, lock_ms=200, statement_ms=300)

    assert rows == [[(CLERK_ID,)], [(2,), (3,)], [(["200ms", "300ms", "15s"],)]]
    assert connection.info.transaction_status.name == "IDLE"
    assert tombstones(database) == 1


async def test_a_whole_transaction_waits_for_a_lock_no_longer_than_it_was_told(
    connection: Connection, direct_url: str
) -> None:
    with psycopg.connect(direct_url) as rival:
        rival.execute(*lock_of(CLERK_ID))
        with pytest.raises(LockTimeout):
            await run_transaction(connection, QUERIES, USERS.lock(CLERK_ID), seconds=5, lock_ms=200)
