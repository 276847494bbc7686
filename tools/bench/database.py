"""A database with users in it, and what Postgres knows of its connections."""

import secrets
import subprocess
import sys
from functools import cache

import psycopg

from tools.bench import servers
from tools.bench.rig import Rig
from tools.processes import ROOT
from tools.sandbox.postgres import Postgres


def clerk_id(number: int) -> str:
    """The id of a user; they are numbered from 1."""
    return f"user_bench{number:08d}"


def populated(rig: Rig, users: int) -> str:
    """The address of a new database, migrated and with so many users in it."""
    name = f"bench_{secrets.token_hex(4)}"
    rig.postgres.create_database(name, template=_migrated(rig.postgres))
    url = rig.postgres.url(name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_USERS, [users])
        # The server would do this at some time, in the middle of a measurement.
        connection.execute("VACUUM ANALYZE users")
        connection.execute("CHECKPOINT")
    return url


@cache
def _migrated(postgres: Postgres) -> str:
    """The name of a migrated database to copy."""
    name = "bench_template"
    postgres.create_database(name)
    command = [sys.executable, "-m", "app", "migrate"]
    environment = servers.variables(postgres.url(name))
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    return name


def connections(url: str) -> int:
    """How many connections the service has at the moment."""
    with psycopg.connect(url) as connection:
        row = connection.execute(f"SELECT count(*) {_OURS}").fetchone()
        return int(row[0]) if row else 0


def last_use(url: str) -> object:
    """When the service last sent a statement; unchanged as long as it sends none."""
    with psycopg.connect(url) as connection:
        return connection.execute(f"SELECT max(query_start), count(*) {_OURS}").fetchone()


def write_transactions(url: str) -> int:
    """The number of the next one; looking does not raise it."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::TEXT").fetchone()
        return int(row[0]) if row else 0


_OURS = "FROM pg_stat_activity WHERE application_name = 'clerk-backboard-sync' AND datname = current_database()"
_USERS = """
INSERT INTO users (clerk_id, assistant_id, email, name)
SELECT
    'user_bench' || lpad(number::TEXT, 8, '0'), gen_random_uuid()::TEXT,
    'someone.' || number || '@example.com', 'Some One ' || number
FROM generate_series(1, %s) AS number
"""
