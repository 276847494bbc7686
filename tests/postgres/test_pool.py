"""The pool: the reason given to a caller that gets no connection."""

from urllib.parse import urlsplit

import psycopg
import pytest

from app import log
from app.errors import DatabaseUnavailable, PoolSaturated
from app.postgres.pool import Pool
from tests.support.databases import temporary_database
from tools.processes import free_port

pytestmark = pytest.mark.anyio


async def reason_of(pool: Pool) -> str:
    with pytest.raises(DatabaseUnavailable) as caught:
        await pool.acquire(0.5)
    return caught.value.reason


@pytest.mark.parametrize("size", [1, 3])
async def test_a_pool_without_a_database_is_down_and_not_saturated(size: int) -> None:
    """Also where the only connection of the pool is being tried."""
    pool = Pool(f"postgresql://app@127.0.0.1:{free_port()}/app", name="dead", size=size)
    await pool.open()
    try:
        assert await reason_of(pool) == "database_down"
    finally:
        await pool.close()


@pytest.mark.ways("direct", "pooled")
@pytest.mark.parametrize("size", [1, 2])
async def test_a_pool_with_every_connection_in_use_is_saturated(size: int, database_url: str) -> None:
    """It serves again when one is released, whole or broken."""
    pool = Pool(database_url, name="full", size=size)
    await pool.open()
    try:
        in_use = [await pool.acquire(5.0) for _ in range(size)]
        assert await reason_of(pool) == "saturated"
        await pool.release(in_use.pop(), broken=True)
        in_use.append(await pool.acquire(5.0))
        assert await reason_of(pool) == "saturated"
        for connection in in_use:
            await pool.release(connection)
        await pool.release(await pool.acquire(5.0))
    finally:
        await pool.close()


@pytest.mark.ways("direct")  # A pooler goes on accepting connections.
async def test_a_pool_that_has_lost_its_database_is_down_and_not_saturated(database_url: str) -> None:
    """Neither a released connection nor one that is found dead at the next checkout counts as in use."""
    with temporary_database(database_url) as url, psycopg.connect(database_url, autocommit=True) as owner:
        pool = Pool(url, name="lost", size=1)
        await pool.open()
        try:
            await pool.release(await pool.acquire(5.0))
            name = urlsplit(url).path.removeprefix("/")
            owner.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
            owner.execute(b"SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE datname = %s", [name])
            assert await reason_of(pool) == "database_down"
        finally:
            await pool.close()


async def test_the_wait_for_a_connection_counts_as_time_of_the_database(database_url: str) -> None:
    """A request that a full pool refuses says so in its `db_ms`."""
    fields = log.start_request("a-request")
    pool = Pool(database_url, name="lookup", size=1)
    await pool.open()
    async with pool.connection():
        held_ms = fields["db_ms"]
        with pytest.raises(PoolSaturated):
            async with pool.connection(0.2):
                pass
    await pool.close()

    assert fields["db_ms"] > held_ms
