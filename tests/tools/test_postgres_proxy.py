"""The proxy before Postgres passes messages on, and its policies cut, silence and count them."""

import asyncio
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from tools.sandbox.postgres_proxy import CountRoundTrips, CutAtStatement, Policy, PostgresProxy, Silence

pytestmark = pytest.mark.ways("direct")

LONG = "x" * 300_000


@pytest.fixture
def table(direct_url: str) -> Iterator[psycopg.Connection]:
    """A connection past the proxy, and a table to write to."""
    with psycopg.connect(direct_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE proxied (number INTEGER)")
        yield connection
        connection.execute("DROP TABLE proxied")


def numbers(connection: psycopg.Connection) -> list[int]:
    return [number for (number,) in connection.execute("SELECT number FROM proxied ORDER BY number").fetchall()]


def in_one_round_trip(connection: psycopg.Connection, *statements: bytes) -> None:
    with connection.pipeline():
        for statement in statements:
            connection.execute(statement)


def test_without_a_fault_everything_arrives_unchanged(direct_url: str) -> None:
    """Long messages, errors, COPY and pipelines included."""
    with PostgresProxy(direct_url, Policy()) as proxy, psycopg.connect(proxy.url, autocommit=True) as connection:
        assert connection.execute("SELECT %s::TEXT", [LONG]).fetchone() == (LONG,)
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM no_such_table")
        with connection.cursor().copy("COPY (SELECT generate_series(1, 3)) TO STDOUT") as copy:
            assert b"".join(copy) == b"1\n2\n3\n"
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::INTEGER", [number]) for number in range(5)]
        assert [cursor.fetchone() for cursor in cursors] == [(number,) for number in range(5)]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_cut_comes_before_or_after_the_server_runs_the_statement(
    direct_url: str, table: psycopg.Connection, when: str
) -> None:
    """The client loses its connection in both cases; the second of three statements is cut."""
    cuts = CutAtStatement()
    with PostgresProxy(direct_url, cuts) as proxy, psycopg.connect(proxy.url, autocommit=True) as connection:
        cuts.plan(when, 2)  # type: ignore[arg-type]  # One of the two literals.
        connection.execute("INSERT INTO proxied VALUES (1)")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("INSERT INTO proxied VALUES (2)")
        with psycopg.connect(proxy.url, autocommit=True) as another:
            another.execute("INSERT INTO proxied VALUES (3)")

    assert cuts.cuts == 1
    assert numbers(table) == ([1, 3] if when == "before" else [1, 2, 3])


def test_a_cut_can_come_between_the_statements_of_one_round_trip(direct_url: str, table: psycopg.Connection) -> None:
    """The server has run the first, and rolls it back, because the COMMIT behind it never arrives."""
    cuts = CutAtStatement()
    with PostgresProxy(direct_url, cuts) as proxy, closing(psycopg.connect(proxy.url, autocommit=True)) as connection:
        cuts.plan("before", 3)
        with pytest.raises(psycopg.OperationalError):
            in_one_round_trip(connection, b"BEGIN", b"INSERT INTO proxied VALUES (1)", b"COMMIT")

    assert numbers(table) == []


def test_a_round_trip_is_counted_when_the_client_waits(direct_url: str) -> None:
    """Twenty statements that are sent together are one."""
    trips = CountRoundTrips()
    with PostgresProxy(direct_url, trips) as proxy, psycopg.connect(proxy.url, autocommit=True) as connection:
        connection.execute("SELECT 1")
        before = trips.count
        connection.execute("SELECT 1")
        connection.execute("; ".join(["SELECT 1"] * 20).encode())

        assert trips.count - before == 2


@pytest.mark.anyio
async def test_silence_keeps_connections_open_and_responses_back(direct_url: str) -> None:
    """On old connections and on new ones; afterwards everything held back arrives."""
    silence = Silence()
    async with PostgresProxy(direct_url, silence) as proxy:
        connection = await psycopg.AsyncConnection.connect(proxy.url, autocommit=True)
        silence.speaks.clear()
        statement = asyncio.create_task(connection.execute("SELECT 1"))
        connecting = asyncio.create_task(psycopg.AsyncConnection.connect(proxy.url))
        done, _ = await asyncio.wait([statement, connecting], timeout=0.3)
        assert not done

        silence.speaks.set()

        assert await (await statement).fetchone() == (1,)
        await (await connecting).close()
        await connection.close()
