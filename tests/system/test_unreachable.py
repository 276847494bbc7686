"""A database or a partner that gives no answer: which reason is given, in plain words, and without its address."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from app.commands.doctor import database
from app.commands.doctor.command import examine
from app.errors import DatabaseUnavailable
from app.postgres.pool import Pool, why_refused
from tests.support import commands
from tests.support.databases import temporary_database
from tests.support.environment import complete_environment
from tools.processes import free_port
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import html, status
from tools.sandbox.clerk import LOCAL_KEY, Clerk, refuses
from tools.sandbox.faults import Fault, drops, garbage, redirect

pytestmark = pytest.mark.anyio


@pytest.fixture
def dead() -> str:
    """An address where nothing listens."""
    return f"postgresql://canary:canary@127.0.0.1:{free_port()}/canary"


@pytest.fixture
def clerk() -> Iterator[Clerk]:
    with Clerk() as stand_in:
        yield stand_in


@pytest.fixture
def patient(variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A healthy environment, to change."""
    complete_environment(monkeypatch, tmp_path)
    monkeypatch.setattr(database, "CONNECT_SECONDS", 0.5)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


async def examined() -> tuple[int, str, dict[str, str]]:
    """The exit code, the whole text, and the line of each thing that is not well."""
    lines: list[str] = []
    code = await examine(lines.append)
    return code, "\n".join(lines), dict(re.findall(r"^wrong +(\S+(?: \S+)?) {2,}(.+)$", "\n".join(lines), re.MULTILINE))


async def reason_of(pool: Pool) -> str:
    with pytest.raises(DatabaseUnavailable) as caught:
        await pool.acquire(0.5)
    return caught.value.reason


@pytest.mark.parametrize("size", [1, 3])
async def test_a_pool_without_a_database_is_not_called_saturated(size: int, dead: str) -> None:
    """Nor is the smallest one, whose only place is being connected in vain."""
    pool = Pool(dead, name="dead", size=size)
    await pool.open()
    try:
        assert await reason_of(pool) == "database_down"
    finally:
        await pool.close()


@pytest.mark.parametrize("size", [1, 3])
async def test_a_pool_whose_places_are_all_held_is_saturated(size: int, database_url: str) -> None:
    """And serves again when one is given back, whole or broken."""
    pool = Pool(database_url, name="held", size=size)
    await pool.open()
    try:
        held = [await pool.acquire(5.0) for _ in range(size)]
        assert await reason_of(pool) == "saturated"
        await pool.release(held.pop(), broken=True)
        held.append(await pool.acquire(5.0))
        assert await reason_of(pool) == "saturated"
        for connection in held:
            await pool.release(connection)
        await pool.release(await pool.acquire(5.0))
    finally:
        await pool.close()


@pytest.mark.ways("direct")  # A pooler goes on taking connections.
async def test_a_pool_that_has_served_and_lost_its_database_is_not_called_saturated(database_url: str) -> None:
    """What was given back is not counted for ever, nor what was found dead at the next checkout."""
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


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ('FATAL:  password authentication failed for user "canary"', "the user or the password is wrong"),
        ('FATAL:  role "canary" does not exist', "there is no such user"),
        ('FATAL:  role "canary" is not permitted to log in', "the user may not log in"),
        ('FATAL:  database "canary" does not exist', "there is no such database"),
        ('FATAL:  database "canary" is not currently accepting connections', "this database takes no connections"),
        ('FATAL:  permission denied for database "canary"', "the user may not connect to this database"),
        ('FATAL:  too many connections for role "canary"', "it has no connection left"),
        ('FATAL:  too many connections for database "canary"', "it has no connection left"),
        ("FATAL:  sorry, too many clients already", "it has no connection left"),
        ("FATAL:  the database system is starting up", "it is starting up or shutting down"),
        ("server does not support SSL, but SSL was required", "it does not speak TLS"),
        ('could not translate host name "canary" to address: unknown', "there is no such host"),
        ("FATAL:  no more connections allowed (max_client_conn)", "it has no connection left"),
        ("FATAL:  server login has been failing, try again later", "its pooler answers, but cannot reach"),
        ("FATAL:  client_login_timeout (server down)", "its pooler answers, but cannot reach"),
        ("FATAL:  query_wait_timeout", "every connection of its pooler is taken"),
        ("FATAL:  unsupported startup parameter: options", "its pooler does not take a parameter"),
        ('FATAL:  "trust" authentication failed', "the user or the password is wrong"),
        ("FATAL:  no such user: canary", "there is no such user"),
        ("FATAL:  no such database: canary", "there is no such database"),
        ("FATAL:  something that nobody has seen yet", "it cannot be reached"),
    ],
)
async def test_what_postgres_says_of_a_refused_connection(
    message: str, meaning: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is put into words of ours, since its own quote users, databases and hosts."""

    async def refuse(*_: object, **__: object) -> None:
        raise psycopg.OperationalError(f'connection to server at "127.0.0.1", port 5432 failed: {message}')

    monkeypatch.setattr(psycopg.AsyncConnection, "connect", refuse)

    assert (await why_refused("postgresql://canary@localhost/canary")).startswith(meaning)


async def test_a_user_that_the_real_server_does_not_know(database_url: str) -> None:
    """In whichever way it is set up to refuse."""
    url = urlsplit(database_url)
    host = url.netloc.rpartition("@")[2]

    said = await why_refused(url._replace(netloc=f"canary:canary@{host}").geturl())

    assert said in {"there is no such user", "the user or the password is wrong"}


async def test_a_socket_that_is_not_there() -> None:
    """Where a local server is down, or another package has its folder elsewhere."""
    assert await why_refused("postgresql://canary@/app?host=/canary") == "there is no such socket"


@pytest.mark.parametrize(("command", "complaints_expected"), [("doctor", 0), ("seed", 1), ("migrate", 2)])
async def test_a_command_without_a_database_ends_within_seconds(
    command: str, complaints_expected: int, variables: dict[str, str], dead: str
) -> None:
    """Exit 1; neither it nor the driver's own warnings quote the address."""
    process = commands.start(command, checkout=commands.ROOT, **(variables | {"DATABASE_URL": dead}))
    code, output, complaints = await asyncio.to_thread(commands.finish, process, 25.0)

    assert code == 1
    assert not re.search(r"canary|127\.0\.0\.1|Traceback|\d{5}", output + complaints)
    assert len(complaints.splitlines()) == complaints_expected


async def test_reconcile_without_a_database_fails_and_refuses_nothing(variables: dict[str, str], dead: str) -> None:
    """It is no danger that something looks like, but work that could not be done: 1, not 3."""
    process = commands.start("reconcile", checkout=commands.ROOT, **(variables | {"DATABASE_URL": dead}))
    code, output, complaints = await asyncio.to_thread(commands.finish, process, 25.0)

    assert (code, output) == (1, "")
    assert complaints.splitlines()[-1] == "Error: The database cannot be used (database_down); `doctor` says more."


async def test_every_thing_has_its_line_when_nothing_can_be_asked(
    patient: pytest.MonkeyPatch, variables: dict[str, str], dead: str
) -> None:
    """Unknown is said as well, without a configuration and without a database."""
    patient.setenv("DATABASE_URL", dead)
    _, without_database, wrong = await examined()
    for name in variables:
        patient.delenv(name)
    _, without_anything, _ = await examined()

    assert wrong == {"database": "it cannot be used: nothing listens at that host and port"}
    for what in ("connections", "schema", "open doubts", "last change"):
        assert re.search(f"^unknown +{what} ", without_database, re.MULTILINE)
    for what in ("database", "connections", "schema", "open doubts", "last change", "Backboard", "Clerk"):
        assert re.search(f"^unknown +{what} ", without_anything, re.MULTILINE)


@pytest.mark.parametrize(
    ("fault", "words", "variable"),
    [
        (status(402), "BACKBOARD_API_KEY", "BACKBOARD_API_KEY"),
        (redirect("http://127.0.0.1/canary"), "BACKBOARD_API_URL", "BACKBOARD_API_URL"),
        (status(429), "come back later", "BACKBOARD_API_URL"),
        (status(503), "answered with an error", "BACKBOARD_API_URL"),
        (html(), "cannot be read", "BACKBOARD_API_URL"),
        (drops(), "closed the connection early", "BACKBOARD_API_URL"),
    ],
    ids=["402", "redirect", "429", "503", "html", "drops"],
)
async def test_backboards_failure_is_told_in_plain_words(
    patient: pytest.MonkeyPatch,  # noqa: ARG001  # Sets the variables.
    backboard: Sandbox,
    fault: Fault,
    words: str,
    variable: str,
) -> None:
    """With the variable to look at."""
    backboard.always("any", fault)

    code, text, wrong = await examined()

    assert (code, list(wrong)) == (1, ["Backboard"])
    assert words in wrong["Backboard"]
    assert variable in text.partition("What to do next:")[2]
    assert "canary" not in text


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (refuses(401), "refused our key"),
        (refuses(429, retry_after="7"), "come back later"),
        (refuses(500), "answered with an error"),
        (garbage(b'{"total_count": "canary"}'), "not Clerk's API"),
        (drops(), "did not answer"),
    ],
    ids=["401", "429", "500", "no_number", "drops"],
)
async def test_clerks_failure_is_told_in_plain_words(
    patient: pytest.MonkeyPatch, clerk: Clerk, fault: Fault, words: str
) -> None:
    """Only a refusal is about the key."""
    patient.setenv("CLERK_API_URL", clerk.url)
    patient.setenv("CLERK_SECRET_KEY", LOCAL_KEY)
    clerk.always("any", fault)

    code, text, wrong = await examined()

    assert (code, list(wrong)) == (1, ["Clerk"])
    assert words in wrong["Clerk"]
    assert ("CLERK_SECRET_KEY" in text.partition("What to do next:")[2]) == ("our key" in words)
    assert "canary" not in text
