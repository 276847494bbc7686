"""Single statements on a connection that is kept: repeated or not, in turn, and within their time."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from app.errors import ConstraintViolated, DatabaseUnavailable
from app.postgres.kept_connection import KeptConnection
from app.postgres.pipeline import Statement
from app.postgres.pool import Pool
from app.postgres.queries import Queries

pytestmark = [pytest.mark.anyio, pytest.mark.ways("direct", "pooled")]

ONE: Statement = (b"SELECT 1", {})
SILENCE: Statement = (b"SELECT pg_sleep(60)", {})


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    pool = Pool(database_url, name="lookup", size=2)
    await pool.open()
    yield pool
    await pool.close()


@pytest.fixture
async def kept(pool: Pool) -> AsyncIterator[KeptConnection]:
    connection = KeptConnection(pool, Queries.load())
    yield connection
    await connection.close()


async def end_connections(pool: Pool) -> None:
    """As a restart of the server does."""
    async with pool.connection() as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'clerk-backboard-sync' AND pid <> pg_backend_pid()"
        )


async def test_statements_take_turns_on_one_connection(kept: KeptConnection, pool: Pool) -> None:
    rows = await asyncio.gather(*(kept.read((b"SELECT %(n)s::INT", {"n": n})) for n in range(10)))

    assert [row[0][0] for row in rows] == list(range(10))
    assert pool.stats()["size"] <= 2


async def test_a_read_is_repeated_on_a_fresh_connection(kept: KeptConnection, pool: Pool) -> None:
    await kept.read(ONE)
    await end_connections(pool)

    assert await kept.read(ONE) == [(1,)]


async def test_a_write_goes_to_a_fresh_connection_after_the_server_has_closed_the_kept_one(
    kept: KeptConnection, pool: Pool
) -> None:
    """It has not been sent, so nothing can be done twice."""
    await kept.write(ONE)
    await end_connections(pool)
    await asyncio.sleep(0.05)

    assert await kept.write(ONE) == [(1,)]


async def test_a_silent_statement_ends_in_time(kept: KeptConnection) -> None:
    await kept.read(ONE)

    async with asyncio.timeout(5):
        with pytest.raises(DatabaseUnavailable):
            await kept.write(SILENCE)
    assert await kept.write(ONE) == [(1,)]


async def test_a_cancelled_statement_does_not_stand_in_the_way_of_the_next_one(kept: KeptConnection) -> None:
    await kept.read(ONE)
    reading = asyncio.create_task(kept.read(SILENCE))
    await asyncio.sleep(0.05)
    reading.cancel()
    await asyncio.wait([reading])

    assert await kept.write(ONE) == [(1,)]


async def test_a_write_is_committed_when_it_returns(
    kept: KeptConnection, database: psycopg.Connection[dict[str, object]]
) -> None:
    await kept.read(ONE)
    await kept.write((b"INSERT INTO deleted_users (clerk_id) VALUES (%(clerk_id)s)", {"clerk_id": "user_1"}))

    assert database.execute("SELECT clerk_id FROM deleted_users").fetchall() == [{"clerk_id": "user_1"}]


async def test_an_error_of_the_commit_is_an_error_of_the_write(
    kept: KeptConnection, database: psycopg.Connection[dict[str, object]]
) -> None:
    """A deferred constraint is checked after the statement's own result has arrived."""
    database.execute("CREATE TABLE deferred (id INT UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    try:
        await kept.read(ONE)
        insert: Statement = (b"INSERT INTO deferred (id) VALUES (1), (1) RETURNING id", {})
        with pytest.raises(ConstraintViolated):
            await kept.write(insert)
        assert await kept.read((b"SELECT count(*) FROM deferred", {})) == [(0,)]
    finally:
        database.execute("DROP TABLE deferred")


async def test_a_violated_constraint_costs_no_connection(
    kept: KeptConnection, database: psycopg.Connection[dict[str, object]]
) -> None:
    """It is the statement's own fault, so a read is not repeated for it either."""
    pid: Statement = (b"SELECT pg_backend_pid()", {})
    before = await kept.read(pid)
    for send in (kept.read, kept.write):
        with pytest.raises(ConstraintViolated):
            await send((b"INSERT INTO deleted_users (clerk_id) VALUES ('no id')", {}))

    assert await kept.read(pid) == before
    assert database.execute("SELECT 1 FROM deleted_users").fetchall() == []


async def test_values_arrive_as_they_were(kept: KeptConnection) -> None:
    await kept.read(ONE)
    values = ["plain", 'quote " backslash \\', "comma, {brace}", "", "NULL", None, "ä\n"]

    rows = await kept.read((b"SELECT %(values)s::TEXT[], %(none)s::TEXT", {"values": values, "none": None}))

    assert rows == [(values, None)]
