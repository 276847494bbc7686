"""What a sign-up costs in addition to Backboard's part: one signed user.created after another, one at a time.

Backboard's part is measured in the same run, by a bare client that makes the same call in turn with the deliveries;
ours is the difference of the medians. The server is the real one, with its log line and a Postgres that syncs its
commits to disk.
"""

import json
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from statistics import median, quantiles
from urllib.parse import urlsplit

import psycopg

from app.clerk.signatures import sign
from app.commands.trigger import sample
from tools.bench import database, servers
from tools.bench.cores import placed_on
from tools.bench.figures import Figure, at_most, compared
from tools.bench.rig import Rig
from tools.sandbox.backboard import LOCAL_KEY, Sandbox
from tools.sandbox.postgres_proxy import CountRoundTrips, PostgresProxy

_WARM_UP = 20
# Latency of Backboard in seconds, and which share of the rig's sign-ups is measured at it.
_LATENCIES = ((0.0, 1.0), (0.05, 0.5), (0.3, 0.2))
_OWN_MILLISECONDS = 5.0
_TRIPS = 3
_COMMITS = 2


def run(rig: Rig) -> Iterator[Figure]:
    url = database.populated(rig, 1)
    with Sandbox() as sandbox:
        variables = servers.variables(url, sandbox.url)
        with (
            closing(HTTPConnection("127.0.0.1", urlsplit(sandbox.url).port or 0, timeout=20)) as backboard,
            servers.started(servers.OURS, variables, rig.cores.server) as server,
            closing(HTTPConnection("127.0.0.1", server.port, timeout=20)) as client,
        ):
            for _ in range(_WARM_UP):
                _sign_up(client)
            for latency, share in _LATENCIES:
                sandbox.reset()
                sandbox.switches.latency = latency
                count = max(2, round(rig.sizes.sign_ups * share))
                yield from _at(latency, count, client, backboard, sandbox)
                yield _floor(rig, url, latency, count)
        sandbox.reset()
        yield from _traffic(rig, url, sandbox.url)


def _at(
    latency: float, count: int, client: HTTPConnection, backboard: HTTPConnection, sandbox: Sandbox
) -> Iterator[Figure]:
    answers, calls = [], []
    for _ in range(count):
        answers.append(_sign_up(client))
        calls.append(_bare_create(backboard))
    theirs = median(calls)
    where = f"Backboard at {latency * 1000:.0f} ms"
    own, p95 = median(answers) - theirs, quantiles(answers, n=20)[-1] - theirs
    bar = _OWN_MILLISECONDS
    yield compared(f"our own part, p50, {where}", "ms", [own], [bar], against="the bar", bar=at_most(1))
    yield compared("  p95", "ms", [p95], [theirs], against="its part, p50")
    ours = len(sandbox.calls()) - count
    yield compared("  calls of Backboard", "", [ours], [count], against="sign-ups", bar=at_most(1))


def _floor(rig: Rig, url: str, latency: float, count: int) -> Figure:
    """A look, a commit, Backboard's time, a commit: what the database alone takes, asked by libpq."""
    exchanges: dict[bool, list[float]] = {False: [], True: []}
    with placed_on(rig.cores.server), psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS floor (number INTEGER)")
        for _ in range(count):
            for is_paused, spent in exchanges.items():
                began = time.perf_counter()
                connection.pgconn.exec_(b"SELECT clerk_id FROM users WHERE clerk_id = 'nobody'")
                connection.pgconn.exec_(b"INSERT INTO floor VALUES (1)")
                middle = time.perf_counter()
                time.sleep(latency if is_paused else 0)
                again = time.perf_counter()
                connection.pgconn.exec_(b"INSERT INTO floor VALUES (2)")
                spent.append((middle - began + time.perf_counter() - again) * 1000)
    return compared(
        "  its exchanges by libpq alone", "ms", exchanges[True], exchanges[False], against="without the pause"
    )


def _traffic(rig: Rig, database_url: str, backboard_url: str) -> Iterator[Figure]:
    """What a sign-up asks of Postgres, counted by a proxy."""
    trips = CountRoundTrips()
    with PostgresProxy(database_url, trips) as proxy:
        # The history commits once a second, for all requests together.
        variables = servers.variables(proxy.url, backboard_url, OPS_RETENTION_DAYS="0")
        with (
            servers.started(servers.OURS, variables, rig.cores.server) as server,
            closing(HTTPConnection("127.0.0.1", server.port, timeout=20)) as client,
        ):
            _sign_up(client)
            before, first = trips.count, database.write_transactions(database_url)
            for _ in range(_WARM_UP):
                _sign_up(client)
            each = (trips.count - before) / _WARM_UP
            commits = (database.write_transactions(database_url) - first) / _WARM_UP
    yield compared("round trips to Postgres", "", [each], [_TRIPS], against="the bar", bar=at_most(1))
    yield compared("commits that wrote", "", [commits], [_COMMITS], against="the bar", bar=at_most(1))


def _sign_up(client: HTTPConnection) -> float:
    body = sample("user.created")
    headers = sign(servers.SECRET, f"msg_{secrets.token_hex(8)}", int(time.time()), body)
    return timed(client, "/webhooks/clerk", body, headers)


def _bare_create(backboard: HTTPConnection) -> float:
    body = json.dumps({"name": f"bare:{secrets.token_hex(8)}"}).encode()
    return timed(backboard, "/api/assistants", body, {"X-API-Key": LOCAL_KEY})


def timed(client: HTTPConnection, path: str, body: bytes, headers: dict[str, str], status: int = 200) -> float:
    """Milliseconds from the request's first byte to the answer's last; SystemExit when its status is another."""
    started = time.perf_counter()
    client.request("POST", path, body, headers | {"Content-Type": "application/json"})
    response = client.getresponse()
    answer = response.read()
    spent = (time.perf_counter() - started) * 1000
    if response.status != status:
        sys.exit(f"bench: {path} answered {response.status} {answer.decode(errors='replace')}")
    return spent
