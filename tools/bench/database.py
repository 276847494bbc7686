"""A Postgres with people in it, and what it says of its connections."""

import secrets
import subprocess
import sys

import psycopg

from tools.bench import servers
from tools.bench.rig import Rig
from tools.processes import ROOT


def clerk_id(number: int) -> str:
    """The id of a person; they are numbered from 1."""
    return f"user_bench{number:08d}"


def populated(rig: Rig, users: int) -> str:
    """The address of a database of its own, migrated and with so many people in it."""
    name = f"bench_{secrets.token_hex(4)}"
    rig.postgres.create_database(name)
    url = rig.postgres.url(name)
    # A process, because dbmate's lines do not belong into the table.
    command = [sys.executable, "-m", "app", "migrate"]
    subprocess.run(command, cwd=ROOT, env=servers.variables(url), check=True, stdout=subprocess.DEVNULL)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_PEOPLE, [users])
        # What the server would do in its own time, in the middle of a measurement.
        connection.execute("VACUUM ANALYZE users")
        connection.execute("CHECKPOINT")
    return url


def connections(url: str) -> int:
    """How many the service holds at the moment."""
    with psycopg.connect(url) as connection:
        row = connection.execute(f"SELECT count(*) {_OURS}").fetchone()
        return int(row[0]) if row else 0


def last_use(url: str) -> object:
    """When the service last sent a statement; equal to an earlier answer when it has sent none since."""
    with psycopg.connect(url) as connection:
        return connection.execute(f"SELECT max(query_start), count(*) {_OURS}").fetchone()


def write_transactions(url: str) -> int:
    """The number of the next one; looking does not raise it."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::TEXT").fetchone()
        return int(row[0]) if row else 0


_OURS = "FROM pg_stat_activity WHERE application_name = 'clerk-backboard-sync' AND datname = current_database()"
_PEOPLE = """
INSERT INTO users (clerk_id, assistant_id, email, name)
SELECT
    'user_bench' || lpad(number::TEXT, 8, '0'), gen_random_uuid()::TEXT,
    'someone.' || number || '@example.com', 'Some One ' || number
FROM generate_series(1, %s) AS number
"""
