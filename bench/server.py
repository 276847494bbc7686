"""The real server with its log line, on a migrated database, as the suites measure it."""

import base64
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from local.backboard import LOCAL_KEY

ROOT = Path(__file__).parent.parent
SECRET = secrets.token_bytes(24)
TOKEN = secrets.token_hex(16)


@contextmanager
def serving(database_url: str, backboard_url: str) -> Iterator[int]:
    """A migrated, ready server on a port of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "BACKBOARD_API_KEY": LOCAL_KEY,
        "BACKBOARD_API_URL": backboard_url,
        "CLERK_WEBHOOK_SIGNING_SECRET": "whsec_" + base64.b64encode(SECRET).decode(),
        "SERVICE_TOKENS": TOKEN,
        "PORT": str(port),
    }
    command = [sys.executable, "-m", "app"]
    subprocess.run([*command, "migrate"], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    server = subprocess.Popen([*command, "serve"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        _wait_until_ready(port)
        yield port
    finally:
        server.terminate()
        server.wait()


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
