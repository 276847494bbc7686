"""What a statement that runs without a limit of time waits for: said after some seconds, and ended after some minutes.

CREATE INDEX CONCURRENTLY waits for every transaction that holds a snapshot from before, also of a person who has
gone home. A short lock_timeout would end it whenever the service is busy.
"""

import asyncio
import secrets
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from time import monotonic

import psycopg

from app.errors import DatabaseUnavailable
from app.postgres.applied_migrations import QUERY_SECONDS, MigrationError
from app.postgres.pipeline import Rows, execute
from app.postgres.pool import connection_string
from app.postgres.queries import Queries

LOOK_SECONDS = 3.0
WAIT_SECONDS = 300.0


async def run_watched(url: str, work: Callable[[str], Coroutine[None, None, None]]) -> None:
    """Run work on a connection of the application_name that it is given; MigrationError once it waits for too long."""
    # By this the process is found; through a pooler, its pid is not known before.
    name = f"clerk-backboard-sync {secrets.token_hex(8)}"
    task = asyncio.ensure_future(work(name))
    reported, waits_since = "", monotonic()
    try:
        while not (await asyncio.wait({task}, timeout=LOOK_SECONDS))[0]:
            found = _described(await _blockers(url, name))
            if not found:
                waits_since = monotonic()
            elif monotonic() - waits_since > WAIT_SECONDS:
                raise MigrationError(f"It has waited for minutes for {found}. End that, and run it again.")
            elif found != reported:
                sys.stderr.write(f"Waiting for {found} ...\n")
                reported = found
        await task
    finally:
        # psycopg cancels the statement at the server.
        task.cancel()
        await asyncio.wait({task})


async def _blockers(url: str, name: str) -> Rows:
    """None as well where there is no connection left for the look.

    Not on the connection that holds the lock: its transaction would have a snapshot, for which the index waits in turn.
    """
    queries = Queries.load()
    find = (queries.list_blockers, {"name": name})
    with suppress(psycopg.Error, DatabaseUnavailable):
        async with await psycopg.AsyncConnection.connect(
            connection_string(url), autocommit=True, prepare_threshold=None
        ) as connection:
            (rows,) = await execute(connection, find, seconds=QUERY_SECONDS)
            return rows
    return []


def _described(blockers: Rows) -> str:
    """The processes, without the text of a query, which may hold anything."""
    return " and ".join(
        f"the process {pid} ({state or 'state unknown'}, {application or 'without a name'})"
        if pid
        else "a prepared transaction (pg_prepared_xacts)"
        for pid, state, application in blockers
    )
