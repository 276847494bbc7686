"""Runs PgBouncer in transaction mode before a Postgres, so that the tests find what does not work through a pooler.

It listens on a Unix socket in a private folder and nowhere else, and trusts every connection.
"""

import shutil
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tools.processes import NotReady, ServerProcess, start
from tools.sandbox.binaries import environment, find_pgbouncer, never_root, socket_folder

_START_SECONDS = 10
# Everything else is as the package has it, because that is how it runs elsewhere.
_CONFIGURATION = """\
[databases]
* = {upstream}
[pgbouncer]
unix_socket_dir = {folder}
listen_addr =
listen_port = 5432
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 500
server_tls_sslmode = prefer
server_login_retry = 1
"""


class PgBouncerUnavailable(Exception):
    """PgBouncer cannot be run here; the message says what to do next."""


class PgBouncer:
    """One pooler; start it from a thread that lives as long as the pooler."""

    def __init__(self, upstream: str, *, pool_size: int) -> None:
        """Start nothing yet. Every database of the server behind `upstream` gets `pool_size` connections."""
        self._upstream = {key: str(value) for key, value in conninfo_to_dict(upstream).items() if value is not None}
        self._pool_size = pool_size
        self._folder: Path | None = None
        self._process: ServerProcess | None = None

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def url(self, database: str | None = None) -> str:
        """Return a database's address by way of the pooler, by default the one that `upstream` named."""
        assert self._folder is not None
        name = quote(database or self._upstream["dbname"], safe="")
        return f"postgresql://{quote(self._user(), safe='')}@/{name}?host={quote(str(self._folder))}&port=5432"

    def start(self) -> None:
        """Return when it takes connections."""
        program = find_pgbouncer()
        if program is None:
            raise PgBouncerUnavailable(
                "There is no PgBouncer on this machine: install it (Debian: apt install pgbouncer), or set PGBOUNCER."
            )
        self._folder = socket_folder()
        configuration = self._write_configuration(self._folder)
        # It holds nothing worth an orderly end, and which signal means what differs between versions.
        words = [*never_root(self._folder, last_signal="KILL"), str(program), str(configuration)]
        self._process = start(words, environment(), log=self._folder / "log", new_session=True)
        self._wait_until_ready(self._process)

    def stop(self) -> None:
        """End it; every connection breaks."""
        if self._process is not None:
            self._process.kill()
            self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _user(self) -> str:
        return self._upstream.get("user", "postgres")

    def _write_configuration(self, folder: Path) -> Path:
        where = {key: self._upstream[key] for key in ("host", "port") if key in self._upstream}
        text = _CONFIGURATION.format(
            upstream=" ".join(f"{key}='{value}'" for key, value in where.items()),
            folder=folder,
            pool_size=self._pool_size,
        )
        (folder / "users").write_text(f'"{self._user()}" "{self._upstream.get("password", "")}"\n')
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(text)
        return configuration

    def _wait_until_ready(self, process: ServerProcess) -> None:
        try:
            process.wait_until_ready(self._takes_connections, seconds=_START_SECONDS)
        except NotReady as error:
            log = process.log_text()[-2000:]
            self.stop()
            raise PgBouncerUnavailable(f"PgBouncer did not start. Its log ends:\n{log}") from error

    def _takes_connections(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True
