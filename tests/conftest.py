"""What the tests stand on: a real Postgres, a Backboard that is a program, the service in process and as one."""

import base64
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from local.backboard import Sandbox
from local.postgres import Postgres
from psycopg.rows import dict_row
from starlette.applications import Starlette

from app import logs
from app.migrations import migrate
from app.server import create_app
from app.settings import DATABASE_VARIABLES, Settings
from tests import factories
from tests.factories import Person, signed

ROOT = Path(__file__).parent.parent

# Somebody's environment must not steer the tests, and never is a test run against DATABASE_URL.
for variable in (*DATABASE_VARIABLES, *(name.upper() for name in Settings.model_fields)):
    os.environ.pop(variable, None)

# Written anew for each test, so that no test can see another's rows.
TABLES = ("messages", "sessions", "provisioning_attempts", "deleted_users", "users")


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """The loop of the web process."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def log_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where every process of the suite logs to; at the end nothing secret or personal may be in there."""
    folder = tmp_path_factory.mktemp("logs")
    yield folder
    secret_forms = [factories.SECRET, factories.OTHER_SECRET]
    for forbidden in (
        re.compile(rb"canary", re.IGNORECASE),
        *(re.compile(re.escape(base64.b64encode(secret))) for secret in secret_forms),
    ):
        for file in folder.iterdir():
            found = [line for line in file.read_bytes().splitlines() if forbidden.search(line)]
            assert not found, f"{file.name} holds what must never be logged: {found[:3]}"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("postgres") / "data", durable=False, max_connections=300) as server:
        yield server


@pytest.fixture(scope="session")
async def database_url(anyio_backend: object, request: pytest.FixtureRequest) -> str:  # noqa: ARG001  # Runs on it.
    """An empty, migrated database of this run's own, or the one that TEST_DATABASE_URL names."""
    url = os.environ.get("TEST_DATABASE_URL")
    if url is None:
        postgres: Postgres = request.getfixturevalue("postgres")
        postgres.create_database("app")
        url = postgres.url("app")
    await migrate(url)
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A connection to look with; the tables are empty when the test begins."""
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as connection:
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
    """The partner, behaving until told otherwise, and remembering everything that was asked of it."""
    running_sandbox.reset()
    return running_sandbox


def environment(database_url: str, backboard_url: str, **changed: str) -> dict[str, str]:
    """The variables of a service under test."""
    variables = {
        "DATABASE_URL": database_url,
        "BACKBOARD_API_KEY": factories.API_KEY,
        "BACKBOARD_API_URL": backboard_url,
        "CLERK_WEBHOOK_SIGNING_SECRET": ",".join(
            "whsec_" + base64.b64encode(secret).decode() for secret in (factories.SECRET, factories.OTHER_SECRET)
        ),
        "SERVICE_TOKENS": f"{factories.TOKEN},{factories.OTHER_TOKEN}",
    }
    return variables | changed


def settings_of(variables: dict[str, str]) -> Settings:
    """Settings as they would come from these variables, and from nothing else."""
    aliased = {name if name in DATABASE_VARIABLES else name.lower(): value for name, value in variables.items()}
    return Settings(_env_file=None, **aliased)  # type: ignore[arg-type]  # Text, as from the environment.


@dataclass(frozen=True)
class Service:
    """The service, however it runs, and what its two callers ask of it."""

    client: httpx.AsyncClient

    async def deliver(self, body: bytes, **how: Any) -> httpx.Response:
        """Deliver a body as Clerk's sender does."""
        return await self.client.post("/webhooks/clerk", content=body, headers=signed(body, **how))

    async def ensure(self, person: Person, token: str = factories.TOKEN, **more: Any) -> httpx.Response:
        """Ask for a user as the chat backend does."""
        return await self.client.post(
            "/ensure-user",
            json={"clerk_id": person.clerk_id, **more},
            headers={"Authorization": f"Bearer {token}"},
        )


@asynccontextmanager
async def in_process(app: Starlette) -> AsyncIterator[Service]:
    """An application with its lifespan entered, which httpx's transport leaves out."""
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=True), base_url="http://test"
        ) as client,
    ):
        yield Service(client)


@pytest.fixture
def variables(database_url: str, backboard: Sandbox, database: object) -> dict[str, str]:  # noqa: ARG001  # Empties it.
    return environment(database_url, backboard.url)


@pytest.fixture
async def service(variables: dict[str, str], log_folder: Path) -> AsyncIterator[Service]:
    """The service in this process, on the real database and the partner's real port."""
    with (log_folder / "in-process.log").open("a") as stream:
        logs.configure("logfmt", "info", stream=stream)
        async with in_process(create_app(settings_of(variables))) as service:
            yield service


@dataclass
class ServerProcess:
    """`python -m app serve` on a port of its own."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit code that follows."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    """Poll until it holds; an AssertionError when it does not in time."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, "it did not come about in time"
        time.sleep(0.02)


def answers(url: str, path: str = "/readyz", status: int = 200) -> Callable[[], bool]:
    def asked() -> bool:
        try:
            return httpx.get(url + path, trust_env=False).status_code == status
        except httpx.TransportError:
            return False

    return asked


@pytest.fixture
def start_server(variables: dict[str, str], log_folder: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Start server processes; keyword arguments are variables on top. All of them end with the test."""
    started: list[ServerProcess] = []

    def start(*, wait: bool = True, **more: str) -> ServerProcess:
        port = free_port()
        log = log_folder / f"server-{port}-{len(started)}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "app", "serve"],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], **variables, "PORT": str(port), **more},
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        server = ServerProcess(process, f"http://127.0.0.1:{port}", log)
        started.append(server)
        if wait:
            wait_until(answers(server.url))
        return server

    yield start
    for server in started:
        if server.process.poll() is None:
            server.kill()


@asynccontextmanager
async def talking_to(server: ServerProcess) -> AsyncIterator[Service]:
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=server.url, timeout=20.0, limits=limits, trust_env=False) as client:
        yield Service(client)
