"""What a sign-up costs beside what the partner takes: one signed user.created after another, one at a time.

The partner's share is measured in the same run, by a bare client that makes the same call in turn with the
deliveries; ours is the difference of the medians. The server is the real one, with its log line and a Postgres
that syncs its commits to disk.
"""

import json
import os
import secrets
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlsplit

from app.clerk_events import sign
from app.trigger import sample
from bench.server import SECRET, serving
from local.backboard import LOCAL_KEY, Sandbox
from local.postgres import Postgres

WARM_UP = 20
# Partner latency in seconds, and how many sign-ups are measured at it.
ROUNDS = ((0.0, 300), (0.05, 100), (0.3, 30))


def run() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        Postgres(Path(folder) / "data") as postgres,
        Sandbox() as sandbox,
        serving(postgres.url(), sandbox.url) as port,
    ):
        client = HTTPConnection("127.0.0.1", port, timeout=20)
        partner = HTTPConnection("127.0.0.1", urlsplit(sandbox.url).port or 0, timeout=20)
        for _ in range(WARM_UP):
            _sign_up(client)
        print(f"\nprovision: one sign-up at a time, {os.cpu_count()} cores shared by everything; milliseconds")
        print(f"{'partner set to':>15} {'its answer':>11} {'our answer':>11} {'ours, p50':>10} {'ours, p95':>10} calls")
        for latency, count in ROUNDS:
            sandbox.reset()
            sandbox.switches.latency = latency
            _print_round(latency, count, client, partner, sandbox)


def _print_round(latency: float, count: int, client: HTTPConnection, partner: HTTPConnection, sandbox: Sandbox) -> None:
    answers, calls = [], []
    for _ in range(count):
        answers.append(_sign_up(client))
        calls.append(_bare_create(partner))
    ours = len(sandbox.calls()) - count
    theirs = median(calls)
    p95 = quantiles(answers, n=20)[-1] - theirs
    row = (latency * 1000, theirs, median(answers), median(answers) - theirs, p95)
    print(f"{row[0]:15.0f} {row[1]:11.2f} {row[2]:11.2f} {row[3]:9.2f} {row[4]:7.2f} {ours / count:6.2f}")


def _sign_up(client: HTTPConnection) -> float:
    body = sample("user.created")
    headers = sign(SECRET, f"msg_{secrets.token_hex(8)}", int(time.time()), body)
    return _timed(client, "/webhooks/clerk", body, headers)


def _bare_create(partner: HTTPConnection) -> float:
    body = json.dumps({"name": f"bare:{secrets.token_hex(8)}"}).encode()
    return _timed(partner, "/api/assistants", body, {"X-API-Key": LOCAL_KEY})


def _timed(client: HTTPConnection, path: str, body: bytes, headers: dict[str, str]) -> float:
    """Milliseconds from the request's first byte to the answer's last; SystemExit when it is not a 200."""
    started = time.perf_counter()
    client.request("POST", path, body, headers | {"Content-Type": "application/json"})
    response = client.getresponse()
    answer = response.read()
    spent = (time.perf_counter() - started) * 1000
    if response.status != 200:
        sys.exit(f"bench: {path} answered {response.status} {answer.decode(errors='replace')}")
    return spent
