"""Indexes that are built outside a transaction: beside writers, beside another build, and after one was broken off."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from app.postgres import blockers, concurrent_index, functions, migrations, triggers
from app.postgres.applied_migrations import MigrationError
from app.postgres.migration_files import ConcurrentIndex, read_migrations
from app.postgres.pipeline import Connection
from tests.support.databases import temporary_database

pytestmark = [pytest.mark.anyio, pytest.mark.ways("direct")]

INDEX = ConcurrentIndex("things_number_idx", "things")
BUILD = b"CREATE INDEX CONCURRENTLY IF NOT EXISTS things_number_idx ON things (number)"
UNIQUE = b"CREATE UNIQUE INDEX CONCURRENTLY things_number_idx ON things (number)"
VALID = b"SELECT indexrelid, indisvalid FROM pg_index WHERE indexrelid = to_regclass('things_number_idx')"
OTHERS = b"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
WAITS = OTHERS + b" AND wait_event_type = 'Lock'"
HAS_LOOKED = OTHERS + b" AND state = 'idle' AND query LIKE '%pg_stat_progress_create_index%'"
Rival = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def url(database_url: str) -> Iterator[str]:
    """A database with a table that holds one number twice."""
    with temporary_database(database_url) as url:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE things (number INT); INSERT INTO things VALUES (1), (1)")
        yield url


@pytest.fixture
def rival(url: str) -> Iterator[Rival]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        yield connection


async def until(rival: Rival, number: int, count: bytes) -> None:
    """Until so many processes of the database do this."""
    async with asyncio.timeout(10):
        while rival.execute(count).fetchone() != (number,):  # noqa: ASYNC110  # It happens in the server.
            await asyncio.sleep(0.01)


def fails_half_way(rival: Rival) -> None:
    """The number that is there twice ends it after its first pass."""
    with pytest.raises(psycopg.errors.UniqueViolation):
        rival.execute(UNIQUE)


def is_cut_off(rival: Rival) -> None:
    """By a limit of time, while it waits for a writer."""
    with psycopg.connect(rival.info.dsn) as writer:
        writer.execute("INSERT INTO things VALUES (2)")
        rival.execute("SET statement_timeout = '50ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            rival.execute(BUILD)


def is_killed(rival: Rival) -> None:
    """With the process of the server that builds it."""
    builder = psycopg.connect(rival.info.dsn, autocommit=True)
    with psycopg.connect(rival.info.dsn) as writer:
        writer.execute("INSERT INTO things VALUES (2)")
        builder.pgconn.send_query(BUILD)
        while rival.execute(WAITS).fetchone() != (1,):
            pass
        rival.execute("SELECT pg_terminate_backend(%s, 5000)", [builder.info.backend_pid])
    builder.close()


def drops_half_way(rival: Rival) -> None:
    """A valid index that was to be dropped is marked invalid first."""
    rival.execute(BUILD)
    with psycopg.connect(rival.info.dsn) as reader:
        reader.execute("SELECT FROM things")
        rival.execute("SET statement_timeout = '50ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            rival.execute("DROP INDEX CONCURRENTLY things_number_idx")


@pytest.mark.parametrize("breaks", [fails_half_way, is_cut_off, is_killed, drops_half_way])
async def test_a_build_that_was_broken_off_is_begun_again(
    breaks: Callable[[Rival], None], url: str, rival: Rival
) -> None:
    """Postgres leaves an invalid index behind, which IF NOT EXISTS would take for the one that is wanted."""
    breaks(rival)
    assert [valid for _, valid in rival.execute(VALID)] == [False]

    async with connected(url) as connection:
        await concurrent_index.build(connection, INDEX, BUILD)

    assert [valid for _, valid in rival.execute(VALID)] == [True]


async def test_an_index_that_stands_is_kept(url: str, rival: Rival) -> None:
    """It was built, and the note of it was lost; or an operator has made it before."""
    rival.execute(BUILD)
    before = rival.execute(VALID).fetchall()

    async with connected(url) as connection:
        await concurrent_index.build(connection, INDEX, BUILD)

    assert rival.execute(VALID).fetchall() == before


@pytest.mark.parametrize(
    "other",
    [
        "CREATE TABLE others (number INT); CREATE INDEX things_number_idx ON others (number)",
        "CREATE TABLE things_number_idx (number INT)",
        "CREATE VIEW things_number_idx AS SELECT 1 AS number",
        "CREATE SEQUENCE things_number_idx",
    ],
)
async def test_what_else_has_its_name_is_a_sentence(other: str, url: str, rival: Rival) -> None:
    """It is not dropped, and not taken for the index."""
    rival.execute(other.encode())
    before = rival.execute("SELECT oid FROM pg_class WHERE relname = 'things_number_idx'").fetchall()

    async with connected(url) as connection:
        with pytest.raises(MigrationError, match="things_number_idx is not a valid index of the table things"):
            await concurrent_index.build(connection, INDEX, BUILD)

    assert rival.execute("SELECT oid FROM pg_class WHERE relname = 'things_number_idx'").fetchall() == before


async def test_a_build_that_goes_on_without_its_client_is_waited_for(url: str, rival: Rival) -> None:
    """Its migrate was killed, and the server builds on; it is neither built twice nor dropped."""
    with psycopg.connect(url) as writer:
        writer.execute("INSERT INTO things VALUES (2)")
        async with connected(url) as orphan, connected(url) as connection:
            first = asyncio.create_task(orphan.execute(BUILD))
            await until(rival, 1, WAITS)
            ((index, valid),) = rival.execute(VALID).fetchall()
            second = asyncio.create_task(concurrent_index.build(connection, INDEX, BUILD))
            try:
                await until(rival, 1, HAS_LOOKED)
            finally:
                writer.commit()
                await asyncio.gather(first, second)

    assert (valid, rival.execute(VALID).fetchall()) == (False, [(index, True)])


async def test_messages_are_written_while_the_index_over_them_is_built(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that has written keeps the index waiting, and the writers that come behind it do not wait."""
    files = read_migrations()
    for module in (migrations, functions, triggers):
        monkeypatch.setattr(module, "read_migrations", lambda: [one for one in files if one.version < "0006"])
    with temporary_database(database_url) as url:
        await migrations.migrate(url)
        for module in (migrations, functions, triggers):
            monkeypatch.setattr(module, "read_migrations", lambda: files)
        with psycopg.connect(url) as writer, psycopg.connect(url, autocommit=True) as next_writer:
            writer.execute("DELETE FROM messages")
            migrating = asyncio.create_task(migrations.migrate(url))
            await until(next_writer, 1, WAITS)
            next_writer.execute("SET lock_timeout = '2s'")
            next_writer.execute("DELETE FROM messages")
            writer.commit()
            applied = await migrating

    assert applied == [one.file for one in files if one.version >= "0006"]


HOLDERS = {
    "a snapshot": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1",
    "a row that was written": "INSERT INTO things VALUES (2)",
    "a lock on the table": "LOCK TABLE things IN SHARE UPDATE EXCLUSIVE MODE",
    "a cursor": "DECLARE things_cursor CURSOR FOR SELECT 1",
}


def building(url: str) -> Callable[[str], Coroutine[None, None, None]]:
    async def build(name: str) -> None:
        async with connected(make_conninfo(url, application_name=name)) as connection:
            await concurrent_index.build(connection, INDEX, BUILD)

    return build


@pytest.mark.parametrize("what", HOLDERS)
async def test_it_says_what_the_build_waits_for(
    what: str, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, with pid, state and name, and without the text of a query; then it goes on."""
    monkeypatch.setattr(blockers, "LOOK_SECONDS", 0.05)
    with psycopg.connect(url, application_name="evening shift") as holder:
        pid = holder.info.backend_pid
        holder.execute(HOLDERS[what])
        task = asyncio.create_task(blockers.run_watched(url, building(url)))
        said = ""
        async with asyncio.timeout(10):
            while not said:
                await asyncio.sleep(0.02)
                said = capsys.readouterr().err
        holder.commit()
        await task

    assert said == f"Waiting for the process {pid} (idle in transaction, evening shift) ...\n"
    assert capsys.readouterr().err == ""


async def test_a_build_that_waits_for_too_long_is_ended(
    url: str, rival: Rival, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the server too, and the error names what was in the way; the next run begins it again."""
    monkeypatch.setattr(blockers, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(blockers, "WAIT_SECONDS", 0.0)
    with psycopg.connect(url, application_name="evening shift") as holder:
        holder.execute(HOLDERS["a snapshot"])
        with pytest.raises(MigrationError, match=rf"{holder.info.backend_pid} \(idle in transaction, evening shift\)"):
            await blockers.run_watched(url, building(url))
        await until(rival, 0, WAITS)
    await blockers.run_watched(url, building(url))

    assert [valid for _, valid in rival.execute(VALID).fetchall()] == [True]


async def test_a_build_that_is_stopped_says_that_the_next_run_begins_it_again(
    database_url: str,
) -> None:
    """Of a file outside a transaction something may be left: an index that is not valid."""
    with temporary_database(database_url) as url:
        with psycopg.connect(url) as holder, psycopg.connect(url, autocommit=True) as looker:
            holder.execute(HOLDERS["a snapshot"])
            migrating = asyncio.create_task(migrations.migrate(url))
            await until(looker, 1, WAITS)
            migrating.cancel()
            with pytest.raises(MigrationError, match=r"Stopped .* 0006_\w+\.sql; the next run begins it again"):
                await migrating
        assert (await migrations.migrate(url))[0][:4] == "0006"
