"""The fixtures of all tests: a real Postgres, the Backboard sandbox, the service in this process and in its own."""

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from starlette.types import ASGIApp

from app.application import create_app
from app.clerk.session_tokens import BadToken
from app.errors import ServiceError
from app.log import configure
from app.postgres.migrations import migrate
from app.reasons import REASONS
from app.settings import DATABASE_VARIABLES, Settings
from tests.support import asgi, canaries, commands, factories
from tests.support.log_capture import capture_log
from tests.support.service import Service, environment, in_process, settings_of
from tools.processes import ServerProcess
from tools.sandbox.backboard import Sandbox
from tools.sandbox.binaries import find_pgbouncer
from tools.sandbox.pgbouncer import PgBouncer
from tools.sandbox.postgres import Postgres

# The developer's environment must not steer the tests, and no test may ever run against their DATABASE_URL.
for variable in (*DATABASE_VARIABLES, *(name.upper() for name in Settings.model_fields)):
    os.environ.pop(variable, None)

# A shell starts a job in the background with SIGINT ignored, and every process started from here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Emptied before each test, so that no test sees another's rows.
TABLES = (
    *("actions", "processes", "outcome_counts", "deliveries"),
    *("preferences", "deleted_threads", "session_attempts", "messages", "sessions", "scenarios"),
    *("provisioning_attempts", "deleted_users", "users"),
)


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """The loop of the web process."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def log_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The logs of all processes of the suite; at the end they may hold nothing secret or personal."""
    folder = tmp_path_factory.mktemp("logs")
    yield folder
    for file in folder.iterdir():
        found = canaries.found_in(file.read_bytes())
        assert not found, f"{file.name} holds what must never be logged: {found[:3]}"


@pytest.fixture(scope="session", autouse=True)
def discreet_errors() -> Iterator[None]:
    """Check that every error of ours carries a reason of the table, however it was made."""
    reasons: set[str] = set()
    init = ServiceError.__init__

    def noting(self: ServiceError, reason: str | None = None) -> None:
        init(self, reason)
        if not isinstance(self, BadToken):
            reasons.add(self.reason)

    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(ServiceError, "__init__", noting)
        yield
    assert reasons <= set(REASONS), f"no reason of the table: {sorted(reasons - set(REASONS))[:3]}"


@pytest.fixture(scope="session", autouse=True)
def in_process_log(log_folder: Path) -> Iterator[Path]:
    """The log of the service where it runs in the tests' own process."""
    file = log_folder / "in-process.log"
    with file.open("a") as stream:
        configure("logfmt", "info", stream=stream)
        yield file


@pytest.fixture(scope="session", autouse=True)
def fork_server() -> Iterator[None]:
    """End the fork server of the run, where a test has started it."""
    yield
    if commands.fork_server.cache_info().currsize:
        commands.fork_server().__exit__()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("postgres") / "data", durable=False, max_connections=300) as server:
        yield server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Reach the database through PgBouncer where that is installed, or in the ways that the test's mark names."""
    if "database_url" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("ways")
        ways = mark.args if mark else ("pooled" if find_pgbouncer() else "direct",)
        metafunc.parametrize("database_url", ways, indirect=True, scope="session")


@pytest.fixture(scope="session")
def direct_url(request: pytest.FixtureRequest) -> str:
    """The address of Postgres itself: this run's own, or the one in TEST_DATABASE_URL."""
    url = os.environ.get("TEST_DATABASE_URL")
    if url is None:
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.url("app")
    return url


@pytest.fixture(scope="session")
def pgbouncer(direct_url: str) -> Iterator[PgBouncer]:
    """A pooler in transaction mode with only two connections, so that no request may need a second one."""
    if find_pgbouncer() is None:
        pytest.skip("there is no PgBouncer on this machine (Debian: apt install pgbouncer)")
    with PgBouncer(direct_url, pool_size=2) as pooler:
        yield pooler


@pytest.fixture(scope="session")
async def database_url(anyio_backend: object, request: pytest.FixtureRequest) -> str:  # noqa: ARG001  # Runs on it.
    """The address of a migrated database for the code under test; see pytest_generate_tests."""
    fixture = {"direct": "direct_url", "pooled": "pgbouncer"}[request.param]
    found = request.getfixturevalue(fixture)
    url = found.url() if isinstance(found, PgBouncer) else str(found)
    await migrate(url)
    return url


@pytest.fixture
def database(database_url: str, direct_url: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:  # noqa: ARG001  # Migrates.
    """A connection for the test itself, past any pooler; the tables are empty when the test begins."""
    with psycopg.connect(direct_url, autocommit=True, row_factory=dict_row) as connection:
        with connection.pipeline():
            for table in TABLES:
                connection.execute(f"DELETE FROM {table}".encode())
        yield connection


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[Sandbox]:
    with Sandbox(keys={factories.API_KEY}) as sandbox:
        yield sandbox


@pytest.fixture
def backboard(running_sandbox: Sandbox) -> Sandbox:
    """The Backboard sandbox, without faults until the test plans some, and with an empty ledger."""
    running_sandbox.reset()
    return running_sandbox


@pytest.fixture
def variables(database_url: str, backboard: Sandbox, database: object) -> dict[str, str]:  # noqa: ARG001  # Empties it.
    return environment(database_url, backboard.url)


@pytest.fixture
async def service(variables: dict[str, str]) -> AsyncIterator[Service]:
    """The service in this process, on a real database and the Backboard sandbox."""
    async with in_process(create_app(settings_of(variables))) as service:
        yield service


def start_process(log_folder: Path, variables: dict[str, str]) -> ServerProcess:
    log = log_folder / f"server-{len(list(log_folder.iterdir()))}.log"
    return commands.fork_server().start_http(variables, log=log)


@pytest.fixture(scope="session")
def lasting_server(log_folder: Path, database_url: str, running_sandbox: Sandbox) -> Iterator[ServerProcess]:
    """One server process for all tests that only send it what it must survive."""
    with start_process(log_folder, environment(database_url, running_sandbox.url)) as server:
        # Many tests depend on this one start, so a busy machine may take its time.
        server.wait_until_ready(seconds=60)
        yield server


@pytest.fixture
def start_server(variables: dict[str, str], log_folder: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Start server processes; keyword arguments are variables on top. All of them end with the test."""
    started: list[ServerProcess] = []

    def start(*, wait: bool = True, **more: str) -> ServerProcess:
        server = start_process(log_folder, variables | more)
        started.append(server)
        if wait:
            server.wait_until_ready()
        return server

    yield start
    for server in started:
        if server.exit_code is None:
            server.kill()


@pytest.fixture(scope="session")
def app() -> ASGIApp:
    """The application without a database or Backboard: a request that needs one of them is a 503."""
    return asgi.stranded_app()


@pytest.fixture
def log() -> Iterator[asgi.Log]:
    """What the application logs during the test."""
    with capture_log() as configure:
        yield asgi.Log(configure)
