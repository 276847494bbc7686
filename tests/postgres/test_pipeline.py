"""Several statements in one round trip: the rows of each, and what happens to the others when one fails."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest

from app.errors import DatabaseUnavailable, InvalidRequest
from app.postgres.pipeline import Connection, Statement, execute, rollback
from app.postgres.pool import Pool
from app.postgres.transaction import BEGIN, COMMIT
from tools.sandbox.postgres_proxy import CountRoundTrips, PostgresProxy

pytestmark = [pytest.mark.anyio, pytest.mark.ways("direct", "pooled")]

ONE: Statement = (b"SELECT 1", {})
FAILS: Statement = (b"SELECT * FROM no_such_table", {})


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    pool = Pool(database_url, name="lookup", size=1)
    await pool.open()
    yield pool
    await pool.close()


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as connection:
        yield connection


async def test_every_statement_returns_its_own_rows(connection: Connection) -> None:
    """In their order; an empty list for a statement without rows, whether it could have some or not."""
    statements: list[Statement] = [
        (b"SELECT number FROM generate_series(1, 3) AS number", {}),
        (b"SET LOCAL work_mem = '64kB'", {}),
        (b"SELECT 1 WHERE false", {}),
        (b"SELECT 'a', 'b'", {}),
    ]

    assert await execute(connection, BEGIN, *statements, COMMIT, seconds=5) == [
        [],
        [(1,), (2,), (3,)],
        [],
        [],
        [("a", "b")],
        [],
    ]


async def test_values_of_every_type_make_the_round_trip_unchanged(connection: Connection) -> None:
    """Each is sent once, however often it stands in the statement."""
    values = {
        "text": "it's 100 % \u00e4\U0001f600",
        "moment": datetime(2026, 11, 25, 12, 30, 0, 123456, tzinfo=UTC),
        "id": UUID("7a1f6a5e-98b4-4f7c-a3a0-0f4b6f3f7f10"),
        "nothing": None,
        "number": 7,
        "texts": ["a", 'b"', "c,d"],
    }
    text = (
        b"SELECT %(text)s::TEXT, %(moment)s::TIMESTAMPTZ, %(id)s::UUID, %(nothing)s::TEXT, %(number)s::INT,"
        b" %(texts)s::TEXT[], %(text)s::TEXT WHERE 'x' LIKE '%%'"
    )

    (rows,) = await execute(connection, (text, values), seconds=5)

    assert rows == [(*values.values(), values["text"])]


async def test_statements_and_rows_larger_than_a_packet_arrive_whole(connection: Connection) -> None:
    large: Statement = (b"SELECT %(text)s::TEXT || repeat('y', 3000000)", {"text": "x" * 2_000_000})

    rows = await execute(connection, large, ONE, large, seconds=10)

    assert [len(one[0][0]) for one in (rows[0], rows[2])] == [5_000_000] * 2
    assert rows[1] == [(1,)]


async def test_the_first_error_ends_the_statements_behind_it(connection: Connection) -> None:
    """Nothing of the transaction is committed, and the connection is usable."""
    with pytest.raises(DatabaseUnavailable) as caught:
        await execute(connection, BEGIN, (b"CREATE TABLE canary ()", {}), FAILS, ONE, COMMIT, seconds=5)
    await rollback(connection)

    assert caught.value.sqlstate == "42P01"
    assert await execute(connection, (b"SELECT to_regclass('canary')", {}), ONE, seconds=5) == [[(None,)], [(1,)]]


async def test_a_value_that_cannot_be_sent_sends_nothing(connection: Connection) -> None:
    """Not even the statements before it; the connection is usable."""
    with pytest.raises(InvalidRequest):
        await execute(connection, BEGIN, (b"SELECT %(text)s::TEXT", {"text": "a\0b"}), seconds=5)

    assert connection.info.transaction_status.name == "IDLE"
    assert await execute(connection, ONE, ONE, seconds=5) == [[(1,)], [(1,)]]


async def test_copy_is_an_error(pool: Pool) -> None:
    """It has a protocol of its own, which is not spoken here; the pool replaces the connection."""
    async with pool.connection() as connection:
        with pytest.raises(DatabaseUnavailable):
            await execute(connection, ONE, (b"COPY (SELECT 1) TO STDOUT", {}), ONE, seconds=5)

    async with pool.connection() as connection:
        assert await execute(connection, ONE, seconds=5) == [[(1,)]]


@pytest.mark.parametrize("seconds", [0.2, 0.0001])
async def test_a_statement_that_never_ends_is_aborted(connection: Connection, seconds: float) -> None:
    """In the middle of several statements, and also where next to no time is left."""
    with pytest.raises(DatabaseUnavailable) as caught:
        await execute(connection, ONE, (b"SELECT pg_sleep(60)", {}), ONE, seconds=seconds)

    assert (caught.value.reason, connection.closed) == ("database_slow", True)


async def test_a_connection_that_the_server_closes_in_the_middle_is_a_database_that_is_down(
    connection: Connection,
) -> None:
    """Reported at once, not when the seconds are over."""
    with pytest.raises(DatabaseUnavailable) as caught:
        await execute(connection, ONE, (b"SELECT pg_terminate_backend(pg_backend_pid())", {}), ONE, seconds=30)

    assert caught.value.reason == "database_down"


@pytest.mark.parametrize("behind", [(), (ONE,)])
async def test_the_sqlstate_with_which_the_server_closes_is_reported(
    connection: Connection, behind: tuple[Statement, ...]
) -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        await execute(connection, (b"SELECT pg_terminate_backend(pg_backend_pid())", {}), *behind, seconds=30)

    assert (caught.value.reason, caught.value.sqlstate) == ("database_down", "57P01")


async def test_a_cancelled_caller_leaves_no_rows_for_the_next_user_of_the_connection(pool: Pool) -> None:
    async def wait() -> None:
        async with pool.connection() as connection:
            await execute(connection, (b"SELECT 'old'", {}), (b"SELECT pg_sleep(60)", {}), seconds=30)

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0.2)
    waiting.cancel()
    await asyncio.wait([waiting])

    async with asyncio.timeout(10):
        async with pool.connection() as connection:
            assert await execute(connection, (b"SELECT 'new'", {}), seconds=5) == [[("new",)]]


async def test_a_cancelled_statement_leaves_the_connection_usable(connection: Connection) -> None:
    """The server cancels the statement."""
    waiting = asyncio.create_task(execute(connection, BEGIN, (b"SELECT pg_sleep(60)", {}), ONE, seconds=30))
    await asyncio.sleep(0.2)
    waiting.cancel()
    await asyncio.wait([waiting])
    await rollback(connection)

    assert waiting.cancelled()
    assert not connection.closed
    assert await execute(connection, (b"SELECT 'new'", {}), ONE, seconds=5) == [[("new",)], [(1,)]]


@pytest.mark.ways("direct")
async def test_several_statements_are_one_round_trip(database_url: str) -> None:
    trips = CountRoundTrips()
    with PostgresProxy(database_url, trips) as proxy:
        pool = Pool(proxy.url, name="lookup", size=1)
        await pool.open()
        async with pool.connection() as connection:
            await execute(connection, ONE, seconds=5)
            before = trips.count
            await execute(connection, BEGIN, *[ONE] * 20, COMMIT, seconds=5)
            assert trips.count - before == 1
        await pool.close()
