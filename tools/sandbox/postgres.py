"""Runs Postgres on this machine, for development and for tests.

A server listens on a Unix socket in a private folder and nowhere else: no port can clash, and since no other user can
reach it, it trusts every connection.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from tools.processes import NotReady, ServerProcess, start
from tools.sandbox.binaries import (
    PostgresUnavailable,
    binaries_version,
    command,
    environment,
    initdb,
    socket_folder,
)

__all__ = ["Postgres", "PostgresUnavailable"]

_START_SECONDS = 30  # Recovery after a crash takes seconds; more means that something is wrong.
_STOP_SECONDS = 10  # A shutdown takes 50 ms; the checkpoint before it, with much data, longer.
# A crash of Postgres alone must lose nothing, and the kernel keeps what it was given. So synchronous_commit stays on,
# and so does full_page_writes: kill -9 can end the write of a page in its middle.
_FORGETFUL = {"fsync": "off"}
# The first version of Postgres with a locale that is the same on every machine and not only ASCII's.
_FIRST_WITH_CASES = 17


class Postgres:
    """One server on one folder, which holds its data and its log.

    Start it from a thread that lives as long as the server: Linux stops the server when that thread ends, so that it
    also ends with a process that was killed.
    """

    def __init__(
        self, data: Path, *, durable: bool = True, max_connections: int = 100, settings: Mapping[str, str] | None = None
    ) -> None:
        """Start nothing yet; without `durable` it is faster, and only a crash of the machine loses what it held."""
        self._home = data.absolute()
        self._cluster = self._home / "cluster"
        self._log = self._home / "server.log"
        self._durable = durable
        self._settings = {
            "max_connections": str(max_connections),
            "timezone": "UTC",
            **({} if durable else _FORGETFUL),
            **(settings or {}),
        }
        self._sockets: Path | None = None
        self._claim: IO[bytes] | None = None
        self._server: ServerProcess | None = None

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    @property
    def pid(self) -> int:
        """The process id of the server."""
        if self._server is None:
            raise PostgresUnavailable("Postgres is not running: start it first.")
        return self._server.pid

    def url(self, database: str = "app") -> str:
        """Return a database's address, which stays good over `restart`."""
        if self._sockets is None:
            raise PostgresUnavailable("Postgres has no address yet: start it first.")
        return f"postgresql://app@/{quote(database, safe='')}?host={quote(str(self._sockets))}&port=5432"

    def start(self) -> None:
        """Return when it answers and has the database `app`; the first start makes the data."""
        if self._server is not None:
            return
        try:
            self._claim_home()
            if not (self._cluster / "PG_VERSION").exists():
                self._initialise()
            self._check_version()
            self._sockets = self._sockets or socket_folder()
            self._launch()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Shut down in order; what was committed stays."""
        self._end(signal.SIGINT)
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._sockets = None
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    def crash(self) -> None:
        """Die at once: every connection breaks, nothing is tidied, and the next start has to recover."""
        self._end(signal.SIGQUIT)

    def restart(self) -> None:
        """Stop, if it runs, and start again under the same address."""
        self._end(signal.SIGINT)
        self.start()

    def create_database(self, name: str, *, template: str = "template1") -> None:
        """Make a database if there is none of that name; its address is `url(name)`."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).rowcount:
                names = map(sql.Identifier, (name, template))
                connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))

    def _claim_home(self) -> None:
        """Keep the folder to ourselves while we live; end the server of an earlier owner that was killed."""
        if self._claim is not None:
            return
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            self._claim = (self._home / "owner.lock").open("wb")
            fcntl.flock(self._claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _end_leftover(self._cluster)
            self._log.write_bytes(b"")
        except BlockingIOError:
            raise PostgresUnavailable(f"Another program runs Postgres on {self._home}: stop that one first.") from None
        except PermissionError:
            raise PostgresUnavailable(
                f"{self._home} belongs to another user: run this as that user, or delete the folder (its data is lost)."
            ) from None

    def _initialise(self) -> None:
        """Make the data in another folder and move it into place whole, so that half-made data are never used."""
        unfinished = self._home / "cluster.unfinished"
        for leftover in (unfinished, self._cluster):
            if leftover.exists():
                shutil.rmtree(leftover)
        options = ["-E", "UTF8", "--no-locale", *_case_mapping(), "-A", "trust", "-U", "app"]
        options += [] if self._durable else ["--no-sync"]
        with initdb(self._cluster) as words:
            made = subprocess.run(
                [*words, "-D", str(unfinished), *options],
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if made.returncode != 0:
            raise PostgresUnavailable(f"initdb could not make data in {self._home}. It says:\n{_end_of(made.stdout)}")
        unfinished.rename(self._cluster)

    def _check_version(self) -> None:
        """Refuse the data of another major version, which Postgres cannot read."""
        theirs, ours = int((self._cluster / "PG_VERSION").read_text().split(".")[0]), binaries_version()
        if theirs != ours:
            raise PostgresUnavailable(
                f"The data in {self._home} was made by Postgres {theirs}, and this is Postgres {ours}: delete that"
                f" folder (its data is lost), or set POSTGRES_BIN to the folder of Postgres {theirs}'s programs."
            )

    def _launch(self) -> None:
        where = ["-D", str(self._cluster), "-h", "", "-p", "5432", "-k", str(self._sockets)]
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        words = [*command("postgres", self._cluster), *where, *options]
        # In a new session, because Ctrl-C reaches its clients too, and we stop the server after them.
        self._server = start(words, environment(), log=self._log, new_session=True)
        try:
            self._server.wait_until_ready(self._has_database, seconds=_START_SECONDS)
        except NotReady as error:
            raise PostgresUnavailable(
                f"Postgres did not start; if the cause is not clear, delete {self._home} (its data is lost)."
                f" Its log ends:\n{_end_of(self._log.read_bytes())}"
            ) from error

    def _has_database(self) -> bool:
        try:
            self.create_database("app")
        except psycopg.OperationalError:
            return False
        return True

    def _end(self, how: signal.Signals) -> None:
        if self._server is None:
            return
        server, self._server = self._server, None
        server.stop(how, signal.SIGQUIT, seconds=_STOP_SECONDS)


def _case_mapping() -> list[str]:
    """Upper and lower case of every script, as hosting providers have it, for the search; before 17, of ASCII."""
    knows = binaries_version() >= _FIRST_WITH_CASES
    return ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if knows else []


def _end_leftover(cluster: Path) -> None:
    """Stop the server that still runs on our data; a pid file that names another program's process is out of date."""
    pid_file = cluster / "postmaster.pid"
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text().partition("\n")[0] or 0)
    running = _command_line(pid)
    if f" -D {cluster} " in running:
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + _STOP_SECONDS
        while running and time.monotonic() < deadline:
            time.sleep(0.02)
            running = _command_line(pid)
    elif running and "postgres" not in running:
        pid_file.unlink()  # The number was given out again; Postgres would only see that such a process exists.
        running = ""
    if running:
        raise PostgresUnavailable(f"Process {pid} still runs Postgres on {cluster.parent}: stop it first (kill {pid}).")


def _command_line(pid: int) -> str:
    """Return what a process was started with; nothing if it has ended."""
    if sys.platform != "linux":
        return subprocess.run(
            ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout.strip()
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _end_of(output: bytes) -> str:
    return "\n".join(output.decode(errors="replace").rstrip().splitlines()[-12:])
