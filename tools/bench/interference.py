"""What the worst that one caller can ask costs the others of the same process: their p99 beside it and without it.

The others come at an even rate, far below what the process can do, so that their p99 shows how long they wait and not
how full the machine is. Each is measured beside every disturbance, and idle before and after; the slower idle counts.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from uuid import UUID

import psycopg

from app.api.messages import BATCH_BYTES
from tools.bench import database, servers, traffic
from tools.bench.cores import placed_on
from tools.bench.figures import Figure, at_most, compared
from tools.bench.load import put_load
from tools.bench.paths import CONTENT, Events, appends, authorized, fill, histories
from tools.bench.rig import Rig
from tools.bench.servers import Server
from tools.processes import ROOT

RATE, CONNECTIONS = 200, 8
# A page of long messages, as large as a page may be, and the messages that a search has to read.
LONG_MESSAGE, LONG_MESSAGES = 60_000, 80
SEARCHED_MESSAGES = 300_000

_ADD_MESSAGES = """
INSERT INTO messages (session_id, role, content)
SELECT %s, 'user', repeat(%s, %s) || number FROM generate_series(1, %s) AS number
"""
_HOLD = """
SELECT 1 FROM sessions JOIN users ON users.id = sessions.user_id WHERE sessions.id = %s FOR NO KEY UPDATE
"""

Disturbance = Callable[[], AbstractContextManager[None]]


def run(rig: Rig) -> Iterator[Figure]:
    url = database.populated(rig, rig.sizes.users)
    searched, paged, held, *others = fill(url).sessions
    _fill_disturbing(url, searched=searched, paged=paged, searched_messages=min(SEARCHED_MESSAGES, rig.sizes.messages))
    loads = {
        "ensure-user": traffic.existing_users(rig.folder / "users", rig.sizes.users),
        "an event": Events(rig.sizes.users, rig.sizes.events).changing(rig.folder / "events"),
        "an append": appends(rig.folder / "appends", others),
        "a history of 20": histories(rig.folder / "histories", others, 20),
    }
    with servers.started(servers.OURS, servers.variables(url), rig.cores.server) as server:
        disturbances = _disturbances(rig, server, url, searched=searched, paged=paged, held=held)
        for what, requests in loads.items():
            measure = partial(_p99, rig, server, requests)
            before, beside = measure(), {}
            for name, disturbance in disturbances.items():
                with disturbance():
                    beside[name] = measure()
            idle = max(before, measure())
            for name, slow in beside.items():
                yield compared(f"{what} beside {name}, p99", "ms", [slow], [idle], against="idle", bar=at_most(3))


def _p99(rig: Rig, server: Server, requests: Path) -> float:
    """Milliseconds. SystemExit if one of them is refused."""
    return put_load(rig, server, requests, CONNECTIONS, rate=RATE).percentiles[99]


def _fill_disturbing(url: str, *, searched: str, paged: str, searched_messages: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_ADD_MESSAGES, [searched, CONTENT, 4, searched_messages])
        connection.execute(_ADD_MESSAGES, [paged, CONTENT, LONG_MESSAGE // len(CONTENT), LONG_MESSAGES])
        connection.execute("VACUUM ANALYZE messages")
        connection.execute("CHECKPOINT")


def _disturbances(
    rig: Rig, server: Server, url: str, *, searched: str, paged: str, held: str
) -> dict[str, Disturbance]:
    # Two letters: no index helps.
    user = _user_of(url, searched)
    search = [authorized("GET", f"/users/{user}/sessions?q=zq")]
    most = BATCH_BYTES // LONG_MESSAGE - 1
    messages = [{"role": "user", "content": "x" * LONG_MESSAGE} for _ in range(most)]
    batch = [authorized("POST", f"/sessions/{paged}/messages/batch", json.dumps({"messages": messages}).encode())]
    page = [authorized("GET", f"/sessions/{paged}/messages?limit=200")]
    append = [authorized("POST", f"/sessions/{held}/messages", b'{"role": "user", "content": "Are you there?"}')]
    send = partial(_sent, rig, server)
    return {
        "a search of a second": partial(send, search),
        "the largest batch": partial(send, batch),
        "the largest page": partial(send, page),
        "a locked session": partial(_locked, url, held, partial(send, append, CONNECTIONS)),
    }


def _user_of(url: str, session: str) -> str:
    with psycopg.connect(url) as connection:
        query = "SELECT clerk_id FROM users JOIN sessions ON users.id = user_id WHERE sessions.id = %s"
        row = connection.execute(query, [UUID(session)]).fetchone()
        return str(row[0]) if row else ""


@contextmanager
def _sent(rig: Rig, server: Server, requests: list[bytes], connections: int = 1) -> Iterator[None]:
    """Send these over and over on so many connections, from a process of its own."""
    file = traffic.write(rig.folder / "disturbing", requests)
    how = ["--connections", str(connections), "--seconds", "600"]
    command = [sys.executable, "-m", "tools.bench.client", str(server.port), str(file), *how]
    with placed_on(rig.cores.others):
        sending = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        sending.kill()
        sending.wait()


@contextmanager
def _locked(url: str, session: str, disturbance: Disturbance) -> Iterator[None]:
    """While another client of Postgres holds a session's row, and its user's."""
    with psycopg.connect(url) as connection:
        connection.execute(_HOLD, [UUID(session)])
        with disturbance():
            yield
        connection.rollback()
