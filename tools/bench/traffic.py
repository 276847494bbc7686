"""Requests ready to be sent, written to a file that both load generators read: bytes with a NUL between them."""

import json
import random
import secrets
import time
from pathlib import Path

from app.clerk.signatures import sign
from app.commands.trigger import sample
from tools.bench.database import clerk_id
from tools.bench.servers import TOKEN

# As many different requests as the generators hold; of a larger table, a sample.
MOST = 20_000
_FORGED = 500


def existing_users(file: Path, users: int) -> Path:
    """Calls of ensure-user for random ones of so many users."""
    numbers = random.sample(range(1, users + 1), min(users, MOST))
    headers = {"authorization": f"Bearer {TOKEN}"}
    return write(file, [request("POST", "/ensure-user", headers, _body(number)) for number in numbers])


def forged_webhooks(file: Path) -> Path:
    """Sign-ups with valid, current headers, signed with a secret that is not ours."""
    requests = []
    for _ in range(_FORGED):
        body = sample("user.created")
        headers = sign(secrets.token_bytes(24), f"msg_{secrets.token_hex(8)}", int(time.time()), body)
        requests.append(request("POST", "/webhooks/clerk", headers, body))
    return write(file, requests)


def _body(number: int) -> bytes:
    return json.dumps({"clerk_id": clerk_id(number)}).encode()


def request(method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
    given = {"host": "127.0.0.1", "content-type": "application/json", "content-length": str(len(body))} | headers
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def write(file: Path, requests: list[bytes]) -> Path:
    file.write_bytes(b"\0".join(requests))
    return file
