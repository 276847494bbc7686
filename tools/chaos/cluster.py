"""What a campaign runs on: Postgres, the Backboard sandbox, the proxies before them, the servers, the sender."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tools.chaos import backboard_proxy, postgres_faults, workload
from tools.chaos.backboard_proxy import BackboardProxy
from tools.chaos.database import Database
from tools.chaos.faults import Faults, Tally
from tools.chaos.history import History
from tools.chaos.postgres_faults import PostgresFaults
from tools.chaos.sender import Sender
from tools.chaos.servers import Servers
from tools.chaos.violation import Violation
from tools.chaos.workload import Workload
from tools.processes import ROOT
from tools.sandbox.backboard import Sandbox
from tools.sandbox.postgres_proxy import PostgresProxy

SERVERS = 4
BACKBOARD_LATENCY = 0.02


@dataclass
class Cluster:
    """Everything that an actor may need."""

    folder: Path
    database: Database
    sandbox: Sandbox
    postgres_faults: Faults
    backboard_proxy: BackboardProxy
    servers: Servers
    sender: Sender
    workload: Workload
    history: History
    tally: Tally
    environment: dict[str, str]
    # Violations that were noticed during the campaign.
    noticed: list[Violation] = field(default_factory=list)
    # The assistants that Backboard has lost by itself, by their ids.
    vanished: set[str] = field(default_factory=set)

    @property
    def backboard_faults(self) -> Faults:
        return self.backboard_proxy.faults

    @property
    def logs(self) -> Path:
        return self.folder / "logs"


@asynccontextmanager
async def running_cluster(seed: int, broken: str | None) -> AsyncIterator[Cluster]:
    """Start everything, wait until it is ready, and stop it at the end."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(_folder())
        database = Database(folder / "postgres")
        stack.push_async_callback(database.stop)
        await database.start()
        sandbox = stack.enter_context(Sandbox(keys={workload.API_KEY}))
        sandbox.switches.latency = BACKBOARD_LATENCY
        users, tally, history = Workload(seed), Tally(), History()
        faults = Faults(users.random_for("postgres"), tally, postgres_faults.RATES)
        postgres = await stack.enter_async_context(PostgresProxy(database.service_url, PostgresFaults(faults)))
        backboard_rng = users.random_for("backboard")
        backboard = await stack.enter_async_context(
            BackboardProxy(sandbox.port, Faults(backboard_rng, tally, backboard_proxy.RATES))
        )
        environment = _environment(postgres.port, backboard.port)
        servers = Servers(SERVERS, environment, folder / "logs", broken)
        await servers.open()
        stack.push_async_callback(servers.close)
        await servers.wait_until_ready()
        sender = Sender(servers, history, users)
        stack.push_async_callback(sender.close)
        yield Cluster(folder, database, sandbox, faults, backboard, servers, sender, users, history, tally, environment)


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder for the data and the logs, deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # Postgres may be another user.
        (folder / "logs").mkdir()
        yield folder


def _environment(postgres_port: int, backboard_port: int) -> dict[str, str]:
    # The proxy reads what is sent, so it must not be encrypted.
    database = f"postgresql://app:{workload.DATABASE_PASSWORD}@127.0.0.1:{postgres_port}/app"
    return {
        "PATH": os.environ["PATH"],
        # Reconcile runs in another folder, so that the checkout's .env does not steer it.
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": f"{database}?sslmode=disable&gssencmode=disable",
        "BACKBOARD_API_KEY": workload.API_KEY,
        "BACKBOARD_API_URL": f"http://127.0.0.1:{backboard_port}/api",
        "CLERK_WEBHOOK_SIGNING_SECRET": workload.signing_secrets(),
        "SERVICE_TOKENS": workload.TOKEN,
    }
