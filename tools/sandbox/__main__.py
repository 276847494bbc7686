"""`./dev run`: the service with all it needs on this machine, one signed sign-up, and the row that it leads to.

DATABASE_URL (or its two other names), BACKBOARD_API_KEY and CLERK_WEBHOOK_SIGNING_SECRET replace the local parts
one by one. What was started is written to .local/environment, where `./dev COMMAND` in a second terminal finds it.
"""

import asyncio
import base64
import errno
import fcntl
import os
import secrets
import shlex
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from app.postgres.applied_migrations import MigrationError
from app.postgres.migrations import migrate
from app.settings import DATABASE_VARIABLES, ConfigurationError, Settings, load
from app.settings.environment import ENV_FILE, UnusableEnvFile, read_env_file
from tools.processes import ROOT, SERVE, NotReady, ServerProcess, ended_with_us, start_http
from tools.sandbox.backboard import LOCAL_KEY, Sandbox
from tools.sandbox.backboard.keeping import kept
from tools.sandbox.banner import print_banner, print_row
from tools.sandbox.binaries import find_binaries
from tools.sandbox.postgres import Postgres, PostgresUnavailable

FOLDER = ROOT / ".local"
READY_SECONDS = 30.0
STREAM_PACE = 0.05


class CannotRun(Exception):
    """A sentence for the person at the terminal: what is wrong and what to do."""


def main() -> int:
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        with ExitStack() as stack:
            return _run(stack)
    except KeyboardInterrupt:
        print("\nStopped.")
        return 0
    except PermissionError as error:
        mine = f"sudo chown -R {os.getuid()}:{os.getgid()} {shlex.quote(str(FOLDER))}"
        print(f"./dev run: {error.filename} belongs to another user, root perhaps; {mine}", file=sys.stderr)
        return 1
    except (CannotRun, ConfigurationError, MigrationError, PostgresUnavailable, UnusableEnvFile) as error:
        print(f"./dev run: {error}", file=sys.stderr)
        return 78 if isinstance(error, ConfigurationError | UnusableEnvFile) else 1


def _as_interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(stack: ExitStack) -> int:
    FOLDER.mkdir(exist_ok=True)
    stack.enter_context(_single_instance())
    _add_env_file()
    parts = [_database(stack), _backboard(stack), *_secrets()]
    settings = load(Settings)
    url = settings.database_url.get_secret_value()
    asyncio.run(migrate(url))
    server = stack.enter_context(_server(settings.port))
    stack.enter_context(_environment_file())
    clerk_id = _sign_up(settings)
    print_row(url, clerk_id)
    print_banner(settings, parts)
    return server.wait()


def _add_env_file() -> None:
    """Set the variables of `.env`, as the settings read them: real ones win, and the database's names are one."""
    real = {name for name, value in os.environ.items() if value}
    for name, value in read_env_file(ROOT / ENV_FILE).items():
        names = DATABASE_VARIABLES if name in DATABASE_VARIABLES else (name,)
        if value and real.isdisjoint(names):
            os.environ[name] = value


@contextmanager
def _single_instance() -> Iterator[None]:
    """Two at once would share the database's folder; the lock goes with the process, however it ends."""
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotRun("it is already running in another terminal; stop that one first") from None
        yield


def _database(stack: ExitStack) -> str:
    if any(os.environ.get(name) for name in DATABASE_VARIABLES):
        return "Postgres   yours (DATABASE_URL)"
    print("Starting Postgres ...", flush=True)
    _forget_libpq_variables()
    postgres = stack.enter_context(Postgres(FOLDER / "postgres"))
    os.environ["DATABASE_URL"] = postgres.url("app")
    # psql stands beside the server, so `./dev psql` works where nothing of Postgres is installed.
    if not os.environ.get("POSTGRES_BIN"):
        os.environ["POSTGRES_BIN"] = str(find_binaries())
    return "Postgres   local, kept in .local/postgres    ./dev psql"


def _forget_libpq_variables() -> None:
    """The user's PGSERVICE, PGOPTIONS and others are about another database; libpq would apply them to ours."""
    for name in [name for name in os.environ if name.startswith("PG") and name != "PGBOUNCER"]:
        del os.environ[name]


def _backboard(stack: ExitStack) -> str:
    if os.environ.get("BACKBOARD_API_KEY"):
        return f"Backboard  yours (BACKBOARD_API_KEY), {os.environ.get('BACKBOARD_API_URL', 'the real one')}"
    sandbox = stack.enter_context(Sandbox(keys={LOCAL_KEY}))
    stack.enter_context(kept(sandbox, FOLDER / "backboard.json"))
    # So that a person sees a streamed reply come word by word.
    sandbox.switches.stream_pace = STREAM_PACE
    os.environ["BACKBOARD_API_KEY"] = LOCAL_KEY
    os.environ["BACKBOARD_API_URL"] = sandbox.url
    return f"Backboard  a sandbox, kept in .local/backboard.json    {sandbox.url}"


def _secrets() -> list[str]:
    """Secrets of this run's own where none are set; the service never runs without verification."""
    for name in ("SERVICE_TOKENS", "OPS_TOKENS"):
        if not os.environ.get(name):
            os.environ[name] = secrets.token_hex(16)
    if os.environ.get("CLERK_WEBHOOK_SIGNING_SECRET"):
        return ["Clerk      your signing secret"]
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    os.environ["CLERK_WEBHOOK_SIGNING_SECRET"] = secret
    return ["Clerk      a signing secret of this run; `./dev trigger` plays the sender"]


@contextmanager
def _server(port: int) -> Iterator[ServerProcess]:
    """`python -m app serve`, ended with us even when we are killed (Linux)."""
    with socket.socket() as probe:
        # As the server will; another program's responses there would be taken for ours.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError as error:
            why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            raise CannotRun(f"port {port} {why}; PORT=8001 ./dev run takes another") from None
    print(f"Starting the server on port {port} ...", flush=True)
    server = start_http([*ended_with_us(), *SERVE], {**os.environ, "PORT": str(port)})
    try:
        server.wait_until_ready(seconds=READY_SECONDS)
        yield server
    except NotReady:
        raise CannotRun(
            f"the server did not come up; its log stands above. Is port {port} taken? PORT=8001 sets another"
        ) from None
    finally:
        # Ctrl-C reached the server as well; a second one while it finishes must not leave it behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        server.stop()


@contextmanager
def _environment_file() -> Iterator[None]:
    file = FOLDER / "environment"
    names = (
        *DATABASE_VARIABLES[:1],
        "BACKBOARD_API_KEY",
        "BACKBOARD_API_URL",
        "SERVICE_TOKENS",
        "PORT",
        "POSTGRES_BIN",
    )
    lines = [f"{name}={os.environ[name]}\n" for name in (*names, "CLERK_WEBHOOK_SIGNING_SECRET") if name in os.environ]
    file.touch(mode=0o600)
    file.write_text("".join(lines))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _sign_up(settings: Settings) -> str:
    """Deliver one signed user.created through HTTP, as Clerk would; returns the new user's Clerk id."""
    # Imported while the server starts: svix takes half a second, and the server needs it as well.
    from app.commands import trigger

    clerk_id = f"user_{secrets.token_hex(14)}"
    message = trigger.Message(trigger.sample("user.created", clerk_id))
    secret = settings.clerk_webhook_signing_secret[0].get_secret_value()
    url = f"http://127.0.0.1:{settings.port}"
    print(f"\nDelivering a signed user.created to {url} ...", flush=True)
    if not trigger.deliver([message], secret=secret, url=url, echo=print):
        print("It was refused; the server's line above has the reason. It goes on serving.")
    return clerk_id


if __name__ == "__main__":
    sys.exit(main())
