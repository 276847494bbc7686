"""What a sign-up costs beside what the partner takes: one signed user.created after another, one at a time.

The partner's share is measured in the same run, by a bare client that makes the same call in turn with the
deliveries; ours is the difference of the medians. The server is the real one, with its log line and a Postgres
that syncs its commits to disk.
"""

import base64
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlsplit

from app.clerk_events import sign
from app.trigger import sample
from local.backboard import LOCAL_KEY, Sandbox
from local.postgres import Postgres

ROOT = Path(__file__).parent.parent
SECRET = secrets.token_bytes(24)
WARM_UP = 20
# Partner latency in seconds, and how many sign-ups are measured at it.
ROUNDS = ((0.0, 300), (0.05, 100), (0.3, 30))


def run() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        Postgres(Path(folder) / "data") as postgres,
        Sandbox() as sandbox,
        server(postgres.url(), sandbox.url) as port,
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
    return timed(client, "/webhooks/clerk", body, headers)


def _bare_create(partner: HTTPConnection) -> float:
    body = json.dumps({"name": f"bare:{secrets.token_hex(8)}"}).encode()
    return timed(partner, "/api/assistants", body, {"X-API-Key": LOCAL_KEY})


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


@contextmanager
def server(database_url: str, backboard_url: str, **more: str) -> Iterator[int]:
    """A migrated, ready server on a port of its own; keyword arguments are variables on top."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "BACKBOARD_API_KEY": LOCAL_KEY,
        "BACKBOARD_API_URL": backboard_url,
        "CLERK_WEBHOOK_SIGNING_SECRET": "whsec_" + base64.b64encode(SECRET).decode(),
        "PORT": str(port),
        **more,
    }
    command = [sys.executable, "-m", "app"]
    subprocess.run([*command, "migrate"], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    process = subprocess.Popen([*command, "serve"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        _wait_until_ready(port)
        yield port
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(port: int) -> None:
    give_up_at = time.monotonic() + 20
    while time.monotonic() < give_up_at:
        probe = HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            probe.request("GET", "/readyz")
            if probe.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.05)
        finally:
            probe.close()
    sys.exit("bench: the server did not become ready")
