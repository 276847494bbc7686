"""The reader, which bypasses the driver: values arrive unchanged, and errors are those of the pipeline."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from app.errors import DatabaseUnavailable, InvalidRequest
from app.postgres.pipeline import Connection
from app.postgres.pool import Pool
from app.postgres.reader import Reader

pytestmark = [pytest.mark.anyio, pytest.mark.ways("direct", "pooled")]

ECHO = b"SELECT key, %(word)s::TEXT FROM unnest(%(keys)s::TEXT[]) AS key WHERE key LIKE '%%'"


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    pool = Pool(database_url, name="lookup", size=1)
    await pool.open()
    async with pool.connection() as connection:
        yield connection
    await pool.close()


@pytest.fixture
async def reader(connection: Connection) -> AsyncIterator[Reader]:
    reader = Reader(connection)
    yield reader
    reader.close()


@pytest.mark.parametrize(
    "keys",
    [
        [],
        ["plain"],
        ['a"b', "a\\b", "a,b", "{a}", "", "NULL", " a ", "%s", "$1", "\u00e4\U0001f600"],
        [f"{number:064d}" for number in range(20_000)],
    ],
    ids=["none", "one", "awkward", "more than one write"],
)
async def test_values_arrive_unchanged(reader: Reader, keys: list[str]) -> None:
    """Nothing is special that is special in Postgres' own lists, and no length is too long."""
    rows = await reader.read((ECHO, {"keys": keys, "word": "it's"}), seconds=10.0)

    assert rows == [(key, "it's") for key in keys]


@pytest.mark.parametrize("text", ["a\0b", "\ud800"], ids=ascii)
async def test_text_that_postgres_cannot_hold_is_an_invalid_request(reader: Reader, text: str) -> None:
    """The connection is usable for the next statement."""
    for values in ({"keys": [text], "word": ""}, {"keys": [], "word": text}):
        with pytest.raises(InvalidRequest):
            await reader.read((ECHO, values), seconds=2.0)

    assert await reader.read((ECHO, {"keys": ["a"], "word": "b"}), seconds=2.0) == [("a", "b")]


async def test_a_statement_that_fails_keeps_its_sqlstate_and_the_next_one_works(reader: Reader) -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        await reader.read((b"SELECT * FROM no_such_table", {}), seconds=2.0)

    assert (caught.value.reason, caught.value.sqlstate) == ("schema_missing", "42P01")
    assert await reader.read((ECHO, {"keys": ["a"], "word": "b"}), seconds=2.0) == [("a", "b")]


async def test_a_statement_that_never_ends_is_aborted(reader: Reader) -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        await reader.read((b"SELECT pg_sleep(60)", {}), seconds=0.2)

    assert caught.value.reason == "database_slow"


async def test_a_connection_that_the_server_closes_in_the_middle_is_a_database_that_is_down(
    reader: Reader, connection: Connection
) -> None:
    """Reported at once, not when the seconds are over."""
    with pytest.raises(DatabaseUnavailable) as caught:
        await reader.read((b"SELECT pg_terminate_backend(pg_backend_pid())", {}), seconds=30.0)

    assert caught.value.reason == "database_down"
    assert connection.closed


def message(kind: bytes, body: bytes) -> bytes:
    """As Postgres' protocol has them: a letter, the length, the rest."""
    return kind + (len(body) + 4).to_bytes(4) + body


GREETING = b"".join(
    [
        message(b"R", bytes(4)),
        message(b"S", b"client_encoding\0UTF8\0"),
        message(b"S", b"server_version\0" + b"17.0\0"),
        message(b"Z", b"I"),
    ]
)
FAREWELL = message(b"E", b"SFATAL\0C08P01\0Mserver conn crashed?\0\0")


@pytest.mark.parametrize("farewell", [FAREWELL, FAREWELL[:20]], ids=["whole", "cut"])
async def test_a_connection_that_is_reset_in_the_middle_is_noticed_at_once(tmp_path: Path, farewell: bytes) -> None:
    """Libuv calls once for the last bytes and the reset together, and then stops polling."""

    def serve(listening: socket.socket) -> None:
        accepted, _ = listening.accept()
        with accepted:
            accepted.recv(1024)
            accepted.sendall(GREETING)
            accepted.recv(1, socket.MSG_PEEK)  # A statement that stays unread makes the end a reset.
            accepted.sendall(farewell)

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / ".s.PGSQL.5432"))
        listening.listen()
        threading.Thread(target=serve, args=[listening], daemon=True).start()
        async with await psycopg.AsyncConnection.connect(
            f"postgresql://app@/app?host={tmp_path}&port=5432"
        ) as connection:
            reader = Reader(connection)

            with pytest.raises(DatabaseUnavailable):
                await asyncio.wait_for(reader.read((b"SELECT 1", {}), seconds=30.0), 5.0)

            reader.close()
            await connection.close()


async def test_a_read_ends_at_its_limit_even_if_no_event_comes(reader: Reader) -> None:
    """The limit does not rely on the event loop's noticing that the socket was shut down."""
    assert reader._socket is not None
    asyncio.get_running_loop().remove_reader(reader._socket)

    with pytest.raises(DatabaseUnavailable) as caught:
        await asyncio.wait_for(reader.read((ECHO, {"keys": ["a"], "word": "b"}), seconds=0.2), 5.0)

    assert caught.value.reason == "database_slow"


async def test_closing_after_a_lost_connection_spares_a_new_socket_of_the_same_number(
    reader: Reader, connection: Connection
) -> None:
    """Libpq closes its socket when the server is gone, and the next socket opened in the process gets its number."""
    number = connection.fileno()
    with pytest.raises(DatabaseUnavailable):
        await reader.read((b"SELECT pg_terminate_backend(pg_backend_pid())", {}), seconds=30.0)
    with ExitStack() as opened:
        pairs = [[opened.enter_context(end) for end in socket.socketpair()] for _ in range(20)]
        ((ours, theirs),) = [
            (a, b) if a.fileno() == number else (b, a) for a, b in pairs if number in {a.fileno(), b.fileno()}
        ]
        received, writer = await asyncio.open_connection(sock=ours)

        reader.close()
        theirs.sendall(b"still here")

        assert await asyncio.wait_for(received.read(10), 5.0) == b"still here"
        writer.close()


async def test_a_closed_reader_is_an_error(reader: Reader) -> None:
    """It would otherwise wait for rows that never come."""
    reader.close()

    with pytest.raises(DatabaseUnavailable):
        await reader.read((ECHO, {"keys": ["a"], "word": "b"}), seconds=2.0)
