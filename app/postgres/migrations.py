"""Migrations: dbmate applies the files of sql/migrations, under a lock of ours.

Two dbmates at once fail, and its own lock deadlocks with CREATE INDEX CONCURRENTLY. Ours is an advisory lock of a
transaction, polled instead of waited for, since a waiting statement would hold a
snapshot that such an index build waits for in turn. It works through a transaction pooler too.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from app.postgres.pipeline import Connection
from app.postgres.pool import connection_string
from app.postgres.refusals import why_refused
from app.settings import is_local

FOLDER = Path(__file__).parents[2] / "sql" / "migrations"

CONNECT_SECONDS = 10.0
LOCK_SECONDS = 300.0
POLL_SECONDS = 0.25

# Any number, as long as it stays the same: 'migrate' in ASCII, shortened.
_LOCK = b"SELECT pg_try_advisory_xact_lock(7235437)"
_NO_IDLE_LIMIT = b"SET LOCAL idle_in_transaction_session_timeout = 0"

# dbmate's driver refuses parameters that it does not know, such as the channel_binding in Neon's URLs.
_KNOWN_PARAMETERS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout")


# Everything that the migrations make, and dbmate's own table. RESTRICT: objects of others that depend on it stay.
_DROP = (
    b"DROP TABLE IF EXISTS preferences, deleted_threads, session_attempts, messages, sessions, provisioning_attempts,"
    b" deleted_users, users, schema_migrations RESTRICT"
)
_DROP_LIMIT = b"SET LOCAL lock_timeout = '5s'"


class MigrationError(Exception):
    """The schema could not be brought up to date; the text says what to do."""


def newest() -> str:
    """The version that the code expects: the number of the last file."""
    return max(path.name.split("_")[0] for path in FOLDER.glob("*.sql"))


async def migrate(url: str) -> None:
    """Apply what is missing and return, or raise MigrationError. Two at once: one waits, both succeed."""
    connection = await _connect(url)
    async with connection, _lock(connection):
        code = await _run_dbmate(url)
    if code != 0:
        raise MigrationError("dbmate failed; its messages stand above. Nothing of the failing file was kept.")


async def reset(url: str) -> None:
    """Drop every table of the service, and migrate again; on a MigrationError nothing was dropped."""
    connection = await _connect(url)
    async with connection, _lock(connection):
        try:
            await connection.execute(_DROP_LIMIT)
            await connection.execute(_DROP)
            await connection.execute(b"COMMIT")
        except psycopg.errors.LockNotAvailable as error:
            raise MigrationError("The tables are in use; stop the server and try again.") from error
        except psycopg.errors.DependentObjectsStillExist as error:
            raise MigrationError("Other objects depend on the tables; drop those first.") from error
        except psycopg.Error as error:
            raise MigrationError(f"Postgres refuses to drop the tables ({error.sqlstate}).") from error
    await migrate(url)


def is_on_this_machine(url: str) -> bool:
    """Whether libpq would connect to this machine, given its own variables too (PGHOST, PGSERVICE)."""
    defaults = {option.keyword: option.val for option in psycopg.pq.Conninfo.get_defaults() if option.val}
    parts = conninfo_to_dict(url)
    address = parts.get("hostaddr") or (defaults.get(b"hostaddr", b"") or b"").decode()
    host = parts.get("host") or (defaults.get(b"host", b"") or b"").decode()
    return "service" not in parts and all(is_local(one) for one in str(address or host).split(","))


async def _connect(url: str) -> Connection:
    """Connect, and retry for a while: in a release phase the database may just be starting."""
    give_up_at = monotonic() + CONNECT_SECONDS
    reported = ""
    while True:
        try:
            return await psycopg.AsyncConnection.connect(
                connection_string(url), autocommit=True, prepare_threshold=None
            )
        except psycopg.OperationalError as error:
            why = await why_refused(url)
            if monotonic() > give_up_at:
                raise MigrationError(f"The database cannot be used: {why}. Check DATABASE_URL.") from error
            if why != reported:
                sys.stderr.write(f"Waiting {CONNECT_SECONDS:.0f} s for the database: {why} ...\n")
                reported = why
            await asyncio.sleep(1.0)


@asynccontextmanager
async def _lock(connection: Connection) -> AsyncIterator[None]:
    give_up_at = monotonic() + LOCK_SECONDS
    while True:
        await connection.execute(b"BEGIN")
        await connection.execute(_NO_IDLE_LIMIT)
        cursor = await connection.execute(_LOCK)
        if await cursor.fetchone() == (True,):
            break
        await connection.execute(b"ROLLBACK")
        if monotonic() > give_up_at:
            raise MigrationError("Another migration has been running for minutes; see what it waits for.")
        await asyncio.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        await connection.execute(b"ROLLBACK")


async def _run_dbmate(url: str) -> int:
    """Run dbmate as a child. The URL goes through the environment, since arguments are public."""
    program = Path(sys.executable).parent / "dbmate"
    arguments = ("--env-file", "", "--migrations-dir", str(FOLDER), "--no-dump-schema", "migrate", "--strict")
    process = await asyncio.create_subprocess_exec(
        program, *arguments, env={"PATH": os.environ.get("PATH", ""), "DATABASE_URL": dbmate_url(url)}
    )
    try:
        return await process.wait()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise


def dbmate_url(url: str) -> str:
    """The URL as dbmate's driver reads it, which would otherwise demand TLS where libpq only prefers it."""
    parts = {key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None}
    host = parts.get("host", "")
    query = {key: parts[key] for key in _KNOWN_PARAMETERS if key in parts}
    if host.startswith("/"):
        query |= {"host": host}
        host = ""
    query.setdefault("sslmode", "disable" if not host else "prefer")
    # One message for a statement and its values: between two, a transaction pooler may switch to another client.
    query["binary_parameters"] = "yes"
    credentials = quote(parts.get("user", ""), safe="")
    if "password" in parts:
        credentials += ":" + quote(parts["password"], safe="")
    address = f"[{host}]" if ":" in host else host
    if "port" in parts:
        address += ":" + parts["port"]
    name = quote(parts.get("dbname", ""), safe="")
    return f"postgres://{credentials}@{address}/{name}?{urlencode(query)}"
