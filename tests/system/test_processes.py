"""Real server processes: two that race for one user, one that is killed in the middle, one that gets SIGTERM."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from app.application import create_app
from tests.support.databases import temporary_database
from tests.support.factories import Person, user_created
from tests.support.service import connected_to, in_process, settings_of
from tools.processes import ROOT, ServerProcess, free_port, responds, wait_until
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import status

pytestmark = [pytest.mark.anyio, pytest.mark.ways("direct", "pooled")]

Database = psycopg.Connection[dict[str, Any]]
StartServer = Callable[..., ServerProcess]


async def test_a_hundred_calls_over_two_processes_make_one_row_and_one_assistant(
    start_server: StartServer, database: Database, backboard: Sandbox
) -> None:
    """50 deliveries and 50 calls of the chat backend for one new user: the lock lets one of them create."""
    backboard.switches.latency = 0.3
    person = Person()
    servers = [start_server(), start_server()]
    async with connected_to(servers[0]) as one, connected_to(servers[1]) as two:
        calls = [service.deliver(user_created(person)) for service in (one, two) for _ in range(25)]
        calls += [service.ensure(person) for service in (one, two) for _ in range(25)]
        answers = await asyncio.gather(*calls)

    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len(database.execute("SELECT 1 FROM users").fetchall()) == 1
    assert len(backboard.calls(kind="create")) == 1
    assert len(backboard.made()) == 1


@pytest.mark.ways("direct")  # The campaign kills behind a pooler.
@pytest.mark.parametrize("doubtful", [False, True], ids=["first try", "try after a lost answer"])
def test_death_at_every_await_ends_in_one_row_and_one_assistant(
    variables: dict[str, str],
    database: Database,
    backboard: Sandbox,
    log_folder: Path,
    doubtful: bool,  # noqa: FBT001
) -> None:
    """Kill -9 before and after everything that a try waits for; the redelivery always heals it."""
    first_number = 900_000 if doubtful else 800_000
    people = [Person(first_number + offset) for offset in range(1, 200)]
    if doubtful:
        for person in people:
            database.execute("INSERT INTO provisioning_attempts (clerk_id) VALUES (%s)", [person.clerk_id])
            backboard.make_assistant(person.assistant_name)

    program = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.support.kill_at_each_await",
            "sign_up",
            str(first_number),
            str(log_folder / "killed.log"),
        ],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert program.returncode == 0, program.stdout + program.stderr
    deaths = int(program.stdout)
    assert deaths >= 15
    rows = database.execute("SELECT clerk_id, assistant_id FROM users").fetchall()
    held = {row["clerk_id"]: row["assistant_id"] for row in rows}
    assert len(held) == deaths + 1
    for person in people[: deaths + 1]:
        assert [assistant.id for assistant in backboard.made(person.assistant_name)] == [held[person.clerk_id]]


@pytest.mark.ways("direct")  # As above.
async def test_death_at_every_await_ends_in_one_session_and_one_thread(
    variables: dict[str, str],
    database: Database,
    backboard: Sandbox,
    log_folder: Path,
) -> None:
    """As above, for the sessions of one user under a key for each death; no thread is left without a session."""
    person = Person(700_000)
    async with in_process(create_app(settings_of(variables))) as service:
        await service.ensure(person)

    program = await asyncio.to_thread(
        subprocess.run,
        [
            sys.executable,
            "-m",
            "tests.support.kill_at_each_await",
            "open_session",
            str(person.number),
            str(log_folder / "killed.log"),
        ],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert program.returncode == 0, program.stdout + program.stderr
    deaths = int(program.stdout)
    assert deaths >= 10
    rows = database.execute("SELECT idempotency_key, thread_id FROM sessions").fetchall()
    assert sorted(row["idempotency_key"] for row in rows) == sorted(f"death {number}" for number in range(deaths + 1))
    assert {row["thread_id"] for row in rows} == {thread.id for thread in backboard.threads()}


async def test_sigterm_lets_a_request_finish(start_server: StartServer, backboard: Sandbox, database: Database) -> None:
    """The request under way is answered, and then the process ends by itself."""
    backboard.switches.latency = 1.0
    server = start_server()
    async with connected_to(server) as service:
        under_way = asyncio.create_task(service.deliver(user_created(Person())))
        await asyncio.to_thread(backboard.wait_for, lambda: len(backboard.calls(kind="create")) == 1)
        code = await asyncio.to_thread(server.stop)
        answer = await under_way

    assert answer.json() == {"outcome": "created"}
    assert code in (0, -15)
    assert len(database.execute("SELECT 1 FROM users").fetchall()) == 1


async def test_two_workers_serve_one_port(start_server: StartServer, database: Database) -> None:
    """WEB_CONCURRENCY starts processes that share the port, and SIGTERM ends them all."""
    server = start_server(WEB_CONCURRENCY="2")
    async with connected_to(server) as service:
        made = await asyncio.gather(*(service.ensure(Person()) for _ in range(4)))

    assert {answer.status_code for answer in made} == {201}
    server.stop()
    assert not responds(server.url, "/healthz")()
    assert len(database.execute("SELECT 1 FROM users").fetchall()) == 4


async def test_a_lost_answer_survives_a_restart(
    start_server: StartServer, database: Database, backboard: Sandbox
) -> None:
    """The note is in the database: the process that tries again need not be the one that tried first."""
    backboard.next_create(status(500, after_commit=True))
    person = Person()
    first = start_server()
    async with connected_to(first) as service:
        assert (await service.deliver(user_created(person))).status_code == 503
    first.kill()
    async with connected_to(start_server()) as service:
        healed = await service.deliver(user_created(person))

    assert healed.json() == {"outcome": "created"}
    assert len(backboard.made(person.assistant_name)) == 1
    (row,) = database.execute("SELECT assistant_id FROM users").fetchall()
    assert row["assistant_id"] == backboard.made()[0].id


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_port_that_is_taken_is_one_sentence(processes: str, start_server: StartServer) -> None:
    """Exit 1: nothing is wrong with the configuration, and nothing was refused as harmful."""
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        server = start_server(wait=False, PORT=port, WEB_CONCURRENCY=processes)
        wait_until(lambda: server.exit_code is not None)

    said = server.log.read_text()
    assert server.exit_code == 1
    assert f"PORT={port} cannot be used: Address already in use." in said
    assert "Traceback" not in said


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_server_whose_log_cannot_be_written_serves(processes: str, variables: dict[str, str]) -> None:
    """From its start to its end, on a disk that is full."""
    port = str(free_port())
    variables = {"PATH": os.environ["PATH"], "PORT": port, "WEB_CONCURRENCY": processes, **variables}
    words = [sys.executable, "-m", "app", "serve"]
    with Path("/dev/full").open("wb") as full:
        process = subprocess.Popen(words, cwd=ROOT, env=variables, stdout=full, stderr=subprocess.DEVNULL)
    server = ServerProcess(process, f"http://127.0.0.1:{port}", Path(os.devnull))

    try:
        wait_until(responds(server.url))
    finally:
        assert server.stop() in (0, -signal.SIGTERM)


def test_a_server_without_a_database_says_why(start_server: StartServer) -> None:
    """In words that name neither host nor user, and it goes on serving."""
    server = start_server(wait=False, DATABASE_URL="postgresql://canary:canary@127.0.0.1:1/canary")

    wait_until(responds(server.url, status=503))
    wait_until(lambda: "nothing listens at that host and port" in server.log.read_text())

    assert server.exit_code is None
    assert 'event=psycopg.pool reason="nothing listens at that host and port"' in server.log.read_text()


@pytest.mark.parametrize("limit", [23, 24])
def test_a_server_says_when_the_database_allows_too_few_connections(
    limit: int, start_server: StartServer, database_url: str
) -> None:
    """In one line with both numbers and the formula; it starts all the same, and says nothing where they suffice."""
    with temporary_database(database_url) as url, psycopg.connect(database_url, autocommit=True) as owner:
        name = urlsplit(url).path.removeprefix("/")
        owner.execute(f"ALTER DATABASE {name} CONNECTION LIMIT {limit}".encode())
        server = start_server(wait=False, DATABASE_URL=url)
        wait_until(responds(server.url, status=503))
        wait_until(responds(server.url, "/healthz"))
        if limit == 23:
            wait_until(lambda: "too_few_connections" in server.log.read_text())
        server.stop()

    lines = [line for line in server.log.read_text().splitlines() if "too_few_connections" in line]
    assert len(lines) == (1 if limit == 23 else 0)
    assert all(
        "level=warning" in line
        and "needed=24 allowed=23" in line
        and "2 x 1 (WEB_CONCURRENCY) x (5 (PROVISIONING_CONCURRENCY) + 3 (QUERY_CONNECTIONS)) + 5 + 3" in line
        and 'hint="set PROVISIONING_CONCURRENCY=4"' in line
        for line in lines
    )


def test_a_server_without_configuration_does_not_start(start_server: StartServer) -> None:
    """It ends with 78 and names every variable that is wrong, without its value."""
    server = start_server(wait=False, BACKBOARD_API_KEY="", CLERK_WEBHOOK_SIGNING_SECRET="canary", PORT="0")

    wait_until(lambda: server.exit_code is not None)

    said = server.log.read_text()
    assert server.exit_code == 78
    assert all(name in said for name in ("BACKBOARD_API_KEY", "CLERK_WEBHOOK_SIGNING_SECRET", "PORT"))
    assert "canary" not in said
