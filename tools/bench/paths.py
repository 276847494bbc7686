"""Every path of a chat product's day beside what one would write instead: Fastify and pg, on the same tables.

One process each, rounds in turn. The peer takes the same steps: it checks the token or the signature, commits what it
answers for, keeps the messages of a session in one order, and writes a log line for each request.
"""

import json
import random
import secrets
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psycopg

from app.clerk.signatures import sign
from tools.bench import database, peers, servers, traffic
from tools.bench.ensure import BUSY
from tools.bench.figures import Figure, at_least, at_most, compared, interleaved
from tools.bench.load import Sample, put_load
from tools.bench.rig import Rig
from tools.bench.servers import SECRET, TOKEN, Server

SESSIONS = 2_000
MESSAGES = 25
PEER = "fastify-chat"
CONTENT = "I have three days in Lisbon and I like walking along the river. "

_FILL_SESSIONS = """
INSERT INTO sessions (user_id, title, thread_id)
SELECT id, 'New Trip', gen_random_uuid()::TEXT FROM users ORDER BY clerk_id LIMIT %s
"""
_FILL_MESSAGES = """
INSERT INTO messages (session_id, role, content)
SELECT sessions.id, CASE number %% 2 WHEN 0 THEN 'assistant' ELSE 'user' END, repeat(%s, 2) || number
FROM sessions CROSS JOIN generate_series(1, %s) AS number
"""

# Makes the file of requests for one measurement.
Requests = Callable[[Path], Path]


def run(rig: Rig) -> Iterator[Figure]:
    try:
        command = peers.installed(PEER)
    except peers.NotHere as reason:
        print(f"{'paths':<10} {PEER} is passed over, and the suite with it: {reason}")
        return
    url = database.populated(rig, rig.sizes.users)
    sessions = _fill(url)
    variables = servers.variables(url)
    with (
        servers.started(servers.OURS, variables, rig.cores.server) as ours,
        servers.started(
            command,
            {**variables, **peers.connection(url), "NODE_ENV": "production"},
            rig.cores.server,
            folder=peers.folder(PEER),
        ) as peer,
    ):
        for what, requests in _paths(rig, sessions).items():
            for connections in rig.sizes.connections:
                yield from _figures(rig, what, requests, {"ours": ours, PEER: peer}, connections)


def _paths(rig: Rig, sessions: list[str]) -> dict[str, Requests]:
    events = _Events(rig.sizes.users)
    return {
        "existing user": lambda file: traffic.existing_users(file, rig.sizes.users),
        "event that changes a row": events.changing,
        "event that changes nothing": events.repeated,
        "append": lambda file: _appends(file, sessions),
        "history of 20": lambda file: _histories(file, sessions, 20),
        "history of 200": lambda file: _histories(file, sessions, 200),
        "sessions of a user": lambda file: _session_lists(file, rig.sizes.users),
    }


def _figures(rig: Rig, what: str, requests: Requests, running: dict[str, Server], connections: int) -> Iterator[Figure]:
    def measure(server: Server) -> Sample:
        return put_load(rig, server, requests(rig.folder / "requests"), connections)

    samples = interleaved({name: partial(measure, server) for name, server in running.items()}, rig.sizes.rounds)
    ours, theirs = samples["ours"], samples[PEER]
    where = f"{what}, {connections} connection{'s' if connections > 1 else ''}"
    rates = ([one.rate for one in ours], [one.rate for one in theirs])
    yield compared(where, "/s", *rates, against=PEER, bar=at_least(1.0) if connections == BUSY else None)
    if connections == 1:
        halves = ([one.percentiles[50] for one in ours], [one.percentiles[50] for one in theirs])
        yield compared("  p50", "ms", *halves, against=PEER, bar=at_most(1.2))
    if connections == BUSY:
        spent = ([one.microseconds for one in ours], [one.microseconds for one in theirs])
        yield compared("  the server's CPU time", "us", *spent, against=PEER, bar=at_most(1.3))
        tails = ([one.percentiles[99] for one in ours], [one.percentiles[50] for one in ours])
        yield compared("  p99", "ms", *tails, against="its own p50", bar=at_most(4))


def _fill(url: str) -> list[str]:
    """Sessions with messages; returns their ids."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_FILL_SESSIONS, [SESSIONS])
        connection.execute(_FILL_MESSAGES, [CONTENT, MESSAGES])
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
        return [str(row[0]) for row in connection.execute("SELECT id FROM sessions").fetchall()]


class _Events:
    """Webhooks for known users, each newer than the one before."""

    def __init__(self, users: int) -> None:
        self._users = users
        self._version = 1_800_000_000_000
        self._last: list[bytes] = []

    def changing(self, file: Path) -> Path:
        """More than can be sent in a measurement, since a second delivery would change nothing."""
        self._last = [self._event() for _ in range(traffic.MOST)]
        return traffic.write(file, self._last)

    def repeated(self, file: Path) -> Path:
        return traffic.write(file, self._last)

    def _event(self) -> bytes:
        self._version += 1
        data = {
            "id": database.clerk_id(1 + random.randrange(self._users)),
            "first_name": "Some",
            "last_name": f"One {self._version}",
            "email_addresses": [{"id": "idn_1", "email_address": f"{self._version}@example.com"}],
            "primary_email_address_id": "idn_1",
            "updated_at": self._version,
        }
        body = json.dumps({"type": "user.updated", "object": "event", "data": data}).encode()
        headers = sign(SECRET, f"msg_{secrets.token_hex(12)}", int(time.time()), body)
        return traffic.request("POST", "/webhooks/clerk", headers, body)


def _appends(file: Path, sessions: list[str]) -> Path:
    body = json.dumps({"role": "user", "content": CONTENT * 2, "metadata": {"model": "example"}}).encode()
    return traffic.write(
        file, [_authorized("POST", f"/sessions/{random.choice(sessions)}/messages", body) for _ in range(5_000)]
    )


def _histories(file: Path, sessions: list[str], limit: int) -> Path:
    return traffic.write(file, [_authorized("GET", f"/sessions/{one}/messages?limit={limit}") for one in sessions])


def _session_lists(file: Path, people: int) -> Path:
    users = [database.clerk_id(number) for number in range(1, min(SESSIONS, people) + 1)]
    return traffic.write(file, [_authorized("GET", f"/users/{user}/sessions?limit=20") for user in users])


def _authorized(method: str, path: str, body: bytes = b"") -> bytes:
    return traffic.request(method, path, {"authorization": f"Bearer {TOKEN}"}, body)
