"""The batched reader: many callers, one statement on the wire."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from app.errors import DatabaseUnavailable
from app.postgres.batch_loader import BatchLoader
from app.postgres.pipeline import Statement
from app.postgres.pool import Pool
from app.postgres.queries import Queries

pytestmark = [pytest.mark.anyio, pytest.mark.ways("direct", "pooled")]


class Asked:
    """Statements as a test wants them, and the keys that each was made for."""

    def __init__(self, statement: bytes) -> None:
        self.statement = statement
        self.batches: list[list[str]] = []

    def __call__(self, keys: Sequence[str]) -> Statement:
        self.batches.append(list(keys))
        return self.statement, {"keys": keys}


ECHO = b"SELECT key, pg_sleep(0.05) FROM unnest(%(keys)s::TEXT[]) AS key WHERE key <> 'nobody'"
QUERIES = Queries.load()
SILENCE = b"SELECT key, pg_sleep(60) FROM unnest(%(keys)s::TEXT[]) AS key"


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    pool = Pool(database_url, name="lookup", size=2)
    await pool.open()
    yield pool
    await pool.close()


async def test_callers_who_come_meanwhile_share_the_next_statement(pool: Pool) -> None:
    """The first leaves at once; the forty that queue behind it go out together, each key once."""
    asked = Asked(ECHO)
    lookup = BatchLoader(pool, asked, key_column=0, queries=QUERIES)
    first = asyncio.create_task(lookup.find("a"))
    await asyncio.sleep(0.02)

    rows = await asyncio.gather(*(lookup.find(key) for key in ["b", "c", "b", "a", "nobody"] * 8))

    assert (await first)[0][0] == "a"
    assert [[row[0] for row in found] for found in rows[:5]] == [["b"], ["c"], ["b"], ["a"], []]
    assert asked.batches == [["a"], ["b", "c", "a", "nobody"]]
    await lookup.close()


async def test_a_silent_database_is_an_error_for_everybody_in_time(pool: Pool) -> None:
    """For who was asked for and for who queued meanwhile, also when that is the same user."""
    lookup = BatchLoader(pool, Asked(SILENCE), key_column=0, queries=QUERIES)
    calls = [asyncio.create_task(lookup.find("a"))]
    await asyncio.sleep(0.1)
    calls += [asyncio.create_task(lookup.find(key)) for key in ("a", "b")]

    done, _ = await asyncio.wait(calls, timeout=4.0)

    assert len(done) == 3
    assert all(isinstance(call.exception(), DatabaseUnavailable) for call in done)
    await lookup.close()


async def test_a_connection_that_the_server_has_closed_costs_nobody_an_answer(pool: Pool) -> None:
    """After a restart the next statement goes out on a fresh one."""
    lookup = BatchLoader(pool, Asked(ECHO), key_column=0, queries=QUERIES)
    await lookup.find("a")
    async with pool.connection() as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'clerk-backboard-sync' AND pid <> pg_backend_pid()"
        )

    assert (await lookup.find("b"))[0][0] == "b"
    await lookup.close()


async def test_a_caller_who_is_cancelled_takes_nobody_along(pool: Pool) -> None:
    """Others wait for the same answer."""
    lookup = BatchLoader(pool, Asked(ECHO), key_column=0, queries=QUERIES)
    impatient, patient = asyncio.create_task(lookup.find("a")), asyncio.create_task(lookup.find("a"))
    await asyncio.sleep(0.01)
    impatient.cancel()

    assert (await patient)[0][0] == "a"
    await lookup.close()
