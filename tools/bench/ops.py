"""The operations page over a million deliveries: how long each screen takes, measured at the client on this machine."""

import base64
import secrets
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from statistics import median
from typing import Any
from urllib.parse import urlencode

import psycopg

from tools.bench import database, servers
from tools.bench.figures import Figure, at_most, compared
from tools.bench.rig import Rig

ASKED = 25
EACH = 5
BAR_MS = 100.0
DELIVERIES = """
INSERT INTO deliveries (svix_id, type, clerk_id, first_at, last_at, tries, status, outcome, reason, secret,
    duration_ms, db_ms, request_id, resolved_at)
SELECT
    'msg_' || number, (ARRAY['user.created', 'user.updated', 'session.created', 'user.updated'])[1 + number % 4],
    'user_bench' || lpad((1 + number % {users})::TEXT, 8, '0'), at, at, 1,
    CASE number % 500 WHEN 0 THEN 503 ELSE 200 END,
    CASE WHEN number % 500 = 0 THEN NULL WHEN number % 4 = 0 THEN 'created' WHEN number % 4 = 1 THEN 'updated'
        ELSE 'exists' END,
    CASE number % 500
        WHEN 0 THEN (ARRAY['backboard_down', 'backboard_error', 'database_down'])[1 + number / 500 % 3]
    END,
    0, 2.5, 1.1, 'request-' || number, CASE WHEN number % 500 = 0 AND number % 5000 <> 0 THEN at END
FROM generate_series(1, {deliveries}) AS number
CROSS JOIN LATERAL (SELECT now() - number * interval '1.2 seconds' AS at) AS moment
"""
COUNTS = """
INSERT INTO outcome_counts (slot, event, outcome, reason, status, number, seconds)
SELECT to_timestamp(floor(extract('epoch' FROM last_at) / 300) * 300), 'webhook', coalesce(outcome, ''),
    coalesce(reason, ''), status, count(svix_id), 1
FROM deliveries
GROUP BY 1, 2, 3, 4, 5
"""
SCREENS = {
    "overview": "/ops",
    "deliveries": "/ops/deliveries",
    "deliveries, a week back": "/ops/deliveries?until=7d",
    "deliveries, failing": "/ops/deliveries?failing=1",
    "deliveries of one type": "/ops/deliveries?type=user.created&since=24h",
    "deliveries of one outcome": "/ops/deliveries?outcome=created",
    "deliveries of one reason": "/ops/deliveries?reason=database_down",
    "deliveries of one status": "/ops/deliveries?status=503",
    "one delivery, others like it": "/ops/deliveries/msg_500",
    "user": "/ops/users/user_bench00000001",
    "doubts": "/ops/doubts",
    "processes": "/ops/processes",
    "actions": "/ops/actions",
    "data, users": "/ops/data/users",
    "data, deliveries": "/ops/data/deliveries",
    "data, deliveries by id": "/ops/data/deliveries?q=user_bench00000001",
    "data, outcome_counts": "/ops/data/outcome_counts",
}
WORDS = {"find by e-mail": "nothing@example.com", "find by request": "request-77", "find by user": database.clerk_id(7)}


def run(rig: Rig) -> Iterator[Figure]:
    count = rig.sizes.deliveries
    url, token = database.populated(rig, count // EACH), secrets.token_hex(16)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(DELIVERIES.format(deliveries=count, users=count // EACH).encode())
        connection.execute(COUNTS.encode())
        connection.execute(b"VACUUM ANALYZE")
    asked = min(rig.sizes.asked, ASKED)
    variables = servers.variables(url, OPS_TOKENS=token)
    with (
        servers.started(servers.OURS, variables, rig.cores.server) as server,
        closing(HTTPConnection("127.0.0.1", server.port, timeout=30)) as client,
    ):
        headers = {"Authorization": "Basic " + base64.b64encode(f"bench:{token}".encode()).decode()}
        for what, path in SCREENS.items():
            yield _figure(asked, what, client, headers, "GET", path, None)
        form = headers | {"Content-Type": "application/x-www-form-urlencoded"}
        for what, word in WORDS.items():
            yield _figure(asked, what, client, form, "POST", "/ops/find", urlencode({"q": word}))


def _figure(asked: int, what: str, client: HTTPConnection, headers: dict[str, str], *request: Any) -> Figure:
    spent = [_timed(client, headers, *request) for _ in range(asked)]
    return compared(what, "ms", [median(spent)], [BAR_MS], against="the bar", bar=at_most(1))


def _timed(client: HTTPConnection, headers: dict[str, str], method: str, path: str, body: str | None) -> float:
    begun = time.perf_counter()
    client.request(method, path, body, headers)
    answer = client.getresponse()
    answer.read()
    assert answer.status in {200, 303}, (path, answer.status)
    return (time.perf_counter() - begun) * 1000
