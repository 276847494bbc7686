"""What a campaign stands on: Postgres, the Backboard sandbox, the proxies before them, the servers, the senders."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tools.chaos import backboard_proxy, lives, postgres_proxy
from tools.chaos.backboard_proxy import BackboardProxy
from tools.chaos.checker import Violation
from tools.chaos.database import Database
from tools.chaos.faults import Faults, Tally
from tools.chaos.history import History
from tools.chaos.lives import Population
from tools.chaos.postgres_proxy import PostgresProxy
from tools.chaos.sender import Sender
from tools.chaos.servers import Servers
from tools.sandbox.backboard import Sandbox

ROOT = Path(__file__).parents[2]
SERVERS = 4
PARTNER_LATENCY = 0.02


@dataclass
class Stand:
    """Everything that an actor may need."""

    seed: int
    folder: Path
    database: Database
    sandbox: Sandbox
    postgres_proxy: PostgresProxy
    backboard_proxy: BackboardProxy
    servers: Servers
    sender: Sender
    population: Population
    history: History
    tally: Tally
    environment: dict[str, str]
    # Violations that show on the way.
    seen: list[Violation] = field(default_factory=list)

    @property
    def logs(self) -> Path:
        return self.folder / "logs"


@asynccontextmanager
async def standing(seed: int, broken: str | None) -> AsyncIterator[Stand]:
    """Everything started and ready, and stopped at the end."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(_folder())
        database = Database(folder / "postgres")
        stack.push_async_callback(database.stop)
        await database.start()
        sandbox = stack.enter_context(Sandbox(keys={lives.API_KEY}))
        sandbox.switches.latency = PARTNER_LATENCY
        tally, history = Tally(), History()
        population = Population(seed)
        postgres, backboard = _proxies(database, sandbox, population, tally)
        for proxy in (postgres, backboard):
            await proxy.start()
            stack.push_async_callback(proxy.stop)
        environment = _environment(postgres.port, backboard.port)
        servers = Servers(SERVERS, environment, folder / "logs", broken)
        await servers.open()
        stack.push_async_callback(servers.close)
        await servers.wait_until_ready()
        sender = Sender(servers, history, population)
        stack.push_async_callback(sender.close)
        yield Stand(
            seed,
            folder,
            database,
            sandbox,
            postgres,
            backboard,
            servers,
            sender,
            population,
            history,
            tally,
            environment,
        )


@contextmanager
def _folder() -> Iterator[Path]:
    """A place for the data and the logs, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # Postgres may be another user.
        (folder / "logs").mkdir()
        yield folder


def _proxies(
    database: Database, sandbox: Sandbox, population: Population, tally: Tally
) -> tuple[PostgresProxy, BackboardProxy]:
    before_postgres = Faults(population.dice_of("postgres"), tally, postgres_proxy.RATES)
    before_backboard = Faults(population.dice_of("backboard"), tally, backboard_proxy.RATES)
    return (
        PostgresProxy(database.connect, before_postgres),
        BackboardProxy(urlsplit(sandbox.url).port or 0, before_backboard),
    )


def _environment(postgres_port: int, backboard_port: int) -> dict[str, str]:
    # The proxy reads what is sent, so it must not be encrypted.
    database = f"postgresql://app:{lives.DATABASE_PASSWORD}@127.0.0.1:{postgres_port}/app"
    return {
        "PATH": os.environ["PATH"],
        # Programs are started elsewhere, so that nobody's .env steers them.
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": f"{database}?sslmode=disable&gssencmode=disable",
        "BACKBOARD_API_KEY": lives.API_KEY,
        "BACKBOARD_API_URL": f"http://127.0.0.1:{backboard_port}/api",
        "CLERK_WEBHOOK_SIGNING_SECRET": lives.signing_secrets(),
        "SERVICE_TOKENS": lives.TOKEN,
    }
