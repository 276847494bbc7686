"""The batch loader: many callers, one statement on the wire."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from app.errors import DatabaseUnavailable
from app.postgres.batch_loader import BatchLoader
from app.postgres.pipeline import Statement
from app.postgres.pool import Pool
from app.postgres.queries import Queries

pytestmark = [pytest.mark.anyio, pytest.mark.ways("direct", "pooled")]


class Batches:
    """Makes the same statement for every batch, and records the keys of each."""

    def __init__(self, statement: bytes) -> None:
        self.statement = statement
        self.keys: list[list[str]] = []

    def __call__(self, keys: Sequence[str]) -> Statement:
        self.keys.append(list(keys))
        return self.statement, {"keys": keys}


ECHO = b"SELECT key, pg_sleep(0.05) FROM unnest(%(keys)s::TEXT[]) AS key WHERE key <> 'unknown'"
QUERIES = Queries.load()
HANGS = b"SELECT key, pg_sleep(60) FROM unnest(%(keys)s::TEXT[]) AS key"


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    pool = Pool(database_url, name="lookup", size=2)
    await pool.open()
    yield pool
    await pool.close()


async def test_callers_that_queue_behind_a_statement_share_the_next_one(pool: Pool) -> None:
    """The first is sent at once; the forty behind it are sent together, each key once."""
    batches = Batches(ECHO)
    lookup = BatchLoader(pool, batches, key_column=0, queries=QUERIES)
    first = asyncio.create_task(lookup.find("a"))
    await asyncio.sleep(0.02)

    rows = await asyncio.gather(*(lookup.find(key) for key in ["b", "c", "b", "a", "unknown"] * 8))

    assert (await first)[0][0] == "a"
    assert [[row[0] for row in found] for found in rows[:5]] == [["b"], ["c"], ["b"], ["a"], []]
    assert batches.keys == [["a"], ["b", "c", "a", "unknown"]]
    await lookup.close()


async def test_a_statement_that_hangs_is_an_error_for_every_caller_in_time(pool: Pool) -> None:
    """For the callers of the batch and for those queued behind it, also those of the same key."""
    lookup = BatchLoader(pool, Batches(HANGS), key_column=0, queries=QUERIES)
    calls = [asyncio.create_task(lookup.find("a"))]
    await asyncio.sleep(0.1)
    calls += [asyncio.create_task(lookup.find(key)) for key in ("a", "b")]

    done, _ = await asyncio.wait(calls, timeout=4.0)

    assert len(done) == 3
    assert all(isinstance(call.exception(), DatabaseUnavailable) for call in done)
    await lookup.close()


async def test_a_connection_that_the_server_has_closed_is_replaced_without_an_error(pool: Pool) -> None:
    """As after a restart of the server."""
    lookup = BatchLoader(pool, Batches(ECHO), key_column=0, queries=QUERIES)
    await lookup.find("a")
    async with pool.connection() as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'clerk-backboard-sync' AND pid <> pg_backend_pid()"
        )

    assert (await lookup.find("b"))[0][0] == "b"
    await lookup.close()


async def test_a_cancelled_caller_does_not_cancel_the_others(pool: Pool) -> None:
    lookup = BatchLoader(pool, Batches(ECHO), key_column=0, queries=QUERIES)
    cancelled, other = asyncio.create_task(lookup.find("a")), asyncio.create_task(lookup.find("a"))
    await asyncio.sleep(0.01)
    cancelled.cancel()

    assert (await other)[0][0] == "a"
    await lookup.close()
