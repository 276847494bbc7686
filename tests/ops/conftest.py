"""A history over a pool of its own, and closing lines for it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.ops.history import History
from app.ops.process import identify
from app.ops.reads import OpsReads
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from tests.ops.lines import DAYS
from tests.ops.rows import RUNNING
from tests.support.service import settings_of

QUERIES = Queries.load()


@pytest.fixture
async def pool(database_url: str, database: object) -> AsyncIterator[Pool]:  # noqa: ARG001  # Empties the tables.
    pool = Pool(database_url, name="ops", size=1)
    await pool.open()
    yield pool
    await pool.close()


@pytest.fixture
def reads(pool: Pool, database: Any) -> OpsReads:
    """The reads, beside a process that is alive."""
    database.execute(RUNNING)
    return OpsReads(QUERIES, pool)


@pytest.fixture
def settings(variables: dict[str, str]) -> Any:
    return settings_of(variables | {"OPS_RETENTION_DAYS": str(DAYS), "DYNO": "web.1", "HEROKU_RELEASE_VERSION": "v7"})


@pytest.fixture
def history(pool: Pool, settings: Any) -> History:
    """A writer that writes when the test says so."""
    return new_history(pool, settings)


def new_history(pool: Pool, settings: Any) -> History:
    return History(
        queries=QUERIES,
        pool=pool,
        process=identify(settings),
        pool_stats={"query": pool.stats},
        breaker=lambda: "closed",
        retention_days=DAYS,
    )
