"""Every path of a chat product's day beside what one would write instead: Fastify and pg, on the same tables.

One process each, rounds in turn. The peer takes the same steps: it checks the token or the signature, commits what it
answers for, keeps the messages of a session in one order, and writes a log line for each request. It makes as many
assistants at a time as it is asked for, where ours keeps to PROVISIONING_CONCURRENCY; so that is set to 32.
"""

import json
import random
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psycopg

from app.clerk.signatures import sign
from app.commands.trigger import sample
from tools.bench import database, peers, servers, traffic
from tools.bench.ensure import BUSY
from tools.bench.figures import Figure, at_least, at_most, compared, interleaved
from tools.bench.load import Sample, put_load
from tools.bench.rig import Rig
from tools.bench.servers import SECRET, TOKEN, Server
from tools.sandbox.backboard import Sandbox
from tools.sandbox.postgres import Postgres

SESSIONS, MESSAGES = 2_000, 25
LONG_SESSIONS, LONG_MESSAGES = 200, 225
PEER = "fastify-chat"
# Of Backboard, in seconds.
LATENCY = 0.3
COMMITTING = ("event that changes a row", "append")
CONTENT = "I have three days in Lisbon and I like walking along the river. "

_FILL_SESSIONS = """
INSERT INTO sessions (user_id, title, thread_id)
SELECT id, 'New Trip', gen_random_uuid()::TEXT FROM users ORDER BY clerk_id LIMIT %s
RETURNING id
"""
_FILL_MESSAGES = """
INSERT INTO messages (session_id, role, content)
SELECT sessions.id, CASE number %% 2 WHEN 0 THEN 'assistant' ELSE 'user' END, repeat(%s, 8) || number
FROM sessions CROSS JOIN generate_series(1, %s) AS number
WHERE sessions.id = ANY(%s)
"""


class Filled(NamedTuple):
    """The ids of the sessions, and of those that have more than 200 messages."""

    sessions: list[str]
    long_sessions: list[str]


# Makes the file of requests for one measurement.
Requests = Callable[[Path], Path]


def run(rig: Rig) -> Iterator[Figure]:
    try:
        command = peers.installed(PEER)
    except peers.NotHere as reason:
        print(f"{'paths':<10} {PEER} is passed over, and the suite with it: {reason}")
        return
    url = database.populated(rig, rig.sizes.users)
    paths = _paths(rig, fill(url))
    with Sandbox() as sandbox, _both(rig, url, command, sandbox) as running:
        for what, requests in paths.items():
            for connections in rig.sizes.connections:
                yield from _figures(rig, what, requests, running, connections)
        sandbox.switches.latency = LATENCY
        what = f"sign-up, partner at {round(1000 * LATENCY)} ms"
        yield from _figures(rig, what, paths["sign-up, partner at 0 ms"], running, BUSY)
    yield from _without_sync(rig, command)


@contextmanager
def _both(rig: Rig, url: str, command: Sequence[str], sandbox: Sandbox) -> Iterator[dict[str, Server]]:
    variables = servers.variables(url, sandbox.url, PROVISIONING_CONCURRENCY=str(BUSY))
    theirs = {**variables, **peers.connection(url), "NODE_ENV": "production"}
    with (
        servers.started(servers.OURS, variables, rig.cores.server) as ours,
        servers.started(command, theirs, rig.cores.server, folder=peers.folder(PEER)) as peer,
    ):
        yield {"ours": ours, PEER: peer}


def _without_sync(rig: Rig, command: Sequence[str]) -> Iterator[Figure]:
    """The paths that commit, where a commit does not wait for the disk."""
    with Postgres(rig.folder / "unsynced", durable=False) as postgres, Sandbox() as sandbox:
        rig = replace(rig, postgres=postgres)
        url = database.populated(rig, rig.sizes.users)
        paths = _paths(rig, fill(url))
        with _both(rig, url, command, sandbox) as running:
            for what in COMMITTING:
                yield from _figures(rig, f"{what}, no fsync", paths[what], running, BUSY)


def _paths(rig: Rig, filled: Filled) -> dict[str, Requests]:
    events = Events(rig.sizes.users, rig.sizes.events)
    return {
        "existing user": lambda file: traffic.existing_users(file, rig.sizes.users),
        "event that changes a row": events.changing,
        "event that changes nothing": events.repeated,
        "append": lambda file: appends(file, filled.sessions),
        "history of 20": lambda file: histories(file, filled.sessions, 20),
        "history of 200": lambda file: histories(file, filled.long_sessions, 200),
        "sessions of a user": lambda file: _session_lists(file, rig.sizes.users),
        "sign-up, partner at 0 ms": lambda file: _sign_ups(file, rig.sizes.new_users),
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


def fill(url: str) -> Filled:
    """Add sessions with messages, for the first users one each."""
    with psycopg.connect(url, autocommit=True) as connection:
        ids = [row[0] for row in connection.execute(_FILL_SESSIONS, [SESSIONS]).fetchall()]
        connection.execute(_FILL_MESSAGES, [CONTENT, MESSAGES, ids])
        connection.execute(_FILL_MESSAGES, [CONTENT, LONG_MESSAGES - MESSAGES, ids[:LONG_SESSIONS]])
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    return Filled([str(one) for one in ids], [str(one) for one in ids[:LONG_SESSIONS]])


def _sign_ups(file: Path, count: int) -> Path:
    """Webhooks for new users, more than can be sent in a measurement."""
    return traffic.write(file, [_created() for _ in range(count)])


def _created() -> bytes:
    body = sample("user.created")
    headers = sign(SECRET, f"msg_{secrets.token_hex(12)}", int(time.time()), body)
    return traffic.request("POST", "/webhooks/clerk", headers, body)


class Events:
    """Webhooks for known users, each newer than the one before."""

    def __init__(self, users: int, count: int) -> None:
        self._users = users
        self._count = count
        # In milliseconds. The service takes a version of more than a day ahead for none.
        self._version = int(time.time() * 1000)
        self._last: list[bytes] = []

    def changing(self, file: Path) -> Path:
        """More than can be sent in a measurement, since a second delivery would change nothing."""
        self._last = [self._event() for _ in range(self._count)]
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


def appends(file: Path, sessions: list[str]) -> Path:
    body = json.dumps({"role": "user", "content": CONTENT * 2, "metadata": {"model": "example"}}).encode()
    return traffic.write(
        file, [authorized("POST", f"/sessions/{random.choice(sessions)}/messages", body) for _ in range(5_000)]
    )


def histories(file: Path, sessions: list[str], limit: int) -> Path:
    return traffic.write(file, [authorized("GET", f"/sessions/{one}/messages?limit={limit}") for one in sessions])


def _session_lists(file: Path, people: int) -> Path:
    users = [database.clerk_id(number) for number in range(1, min(SESSIONS, people) + 1)]
    return traffic.write(file, [authorized("GET", f"/users/{user}/sessions?limit=20") for user in users])


def authorized(method: str, path: str, body: bytes = b"") -> bytes:
    return traffic.request(method, path, {"authorization": f"Bearer {TOKEN}"}, body)
