"""Searches and counts: whose turn it is."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from app.chat.models import SessionsRequest
from app.chat.repository import SessionRepository
from app.chat.statements import Statements
from app.deadline import Deadline
from app.postgres.pipeline import Statement
from app.postgres.pool import Pool
from app.postgres.queries import Queries

pytestmark = pytest.mark.anyio

SLOW: Statement = (b"SELECT pg_sleep(0.3)", {})
QUICK: Statement = (b"SELECT 1", {})


@pytest.fixture
async def statements(database_url: str) -> AsyncIterator[Statements]:
    pool = Pool(database_url, name="query", size=1)
    await pool.open()
    yield Statements(pool, Queries.load())
    await pool.close()


REPOSITORY = SessionRepository(Queries.load())
FIRST_PAGE = SessionsRequest("user_a", None, 21, None)


@pytest.mark.ways("direct")  # What it sets stays with the connection.
@pytest.mark.parametrize(
    "statement",
    [
        REPOSITORY.search(uuid4(), "lisbon in may", FIRST_PAGE),
        REPOSITORY.search(uuid4(), "ab", FIRST_PAGE),
        (Queries.load().get_stats, {"user_id": uuid4()}),
    ],
    ids=["a search for words", "a search for two letters", "a count"],
)
async def test_the_messages_of_other_users_are_not_read(statements: Statements, statement: Statement) -> None:
    """Also where the planner takes that for cheaper: it does not count what reading long texts costs."""
    await statements.send((b"SET random_page_cost = 100000", {}), deadline=Deadline())
    text, values = statement
    ((*plan,),) = await statements.send_long((b"EXPLAIN " + text, values), Deadline(), user_id=uuid4())

    scans = [line for (line,) in plan if "Scan" in line and " on messages" in line]
    assert scans
    assert not [line for line in scans if "Seq Scan" in line], plan


async def test_a_user_with_many_slow_searches_delays_another_by_one_of_them(statements: Statements) -> None:
    slow, other = uuid4(), uuid4()
    searching = [asyncio.create_task(statements.send_long(SLOW, Deadline(), user_id=slow)) for _ in range(5)]
    await asyncio.sleep(0.05)

    assert await statements.send_long(QUICK, Deadline(), user_id=other) == [[(1,)]]
    assert sum(one.done() for one in searching) <= 2
    await asyncio.gather(*searching)
