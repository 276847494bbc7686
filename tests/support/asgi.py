"""Raw ASGI requests to the application: raw headers, a body in pieces, and the response.

An HTTP client would repair or refuse malformed requests, and joins repeated headers.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Scope

from app.application import create_app
from tests.support import factories
from tests.support.canaries import PEER_ADDRESS, assert_discreet, found_in
from tests.support.factories import signed
from tests.support.log_capture import Configure
from tests.support.service import assert_declared, environment, settings_of

Headers = list[tuple[bytes, bytes]]

HOST: Headers = [(b"host", b"test")]
JSON: Headers = [(b"content-type", b"application/json")]
BEARER: Headers = [(b"authorization", b"Bearer " + factories.TOKEN.encode())]


@dataclass
class Answer:
    """The response, and how many pieces of the request's body were read before it."""

    status: int = 0
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    pieces_read: int = 0

    def told(self) -> dict[str, Any]:
        """The problem document, without its request id."""
        return without_request_id(self.body)

    def header(self, name: bytes) -> bytes | None:
        """The value of a header that may appear once."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1
        return values[0] if values else None


def without_request_id(problem: bytes) -> dict[str, Any]:
    """What a problem document says, to be compared with another."""
    return {name: value for name, value in json.loads(problem).items() if name != "request_id"}


def stranded_app(**changed: str) -> Starlette:
    """The application with pools that were never opened: a request that needs Postgres, Backboard or Clerk is a 503."""
    return create_app(
        settings_of(environment("postgresql://app@/app?host=/nowhere", "http://127.0.0.1:9/api", **changed))
    )


def raw(headers: dict[str, str]) -> Headers:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def delivery(body: bytes, **how: Any) -> Headers:
    """The headers of a validly signed delivery."""
    return HOST + raw(signed(body, **how))


async def ask(
    app: ASGIApp,
    headers: Headers,
    *pieces: bytes,
    method: str = "POST",
    path: str = "/webhooks/clerk",
    query: bytes = b"",
    then: Literal["end", "silence", "leave"] = "end",
    reads_on: asyncio.Event | None = None,
) -> Answer:
    """Send one request; after the pieces the client is done, stays silent, or has disconnected.

    With `reads_on`, it takes the first piece of its answer, and the rest once that is set.
    """
    answer, waiting = Answer(), list(pieces or [b""])

    async def receive() -> Message:
        if not waiting:
            if then == "leave":
                return {"type": "http.disconnect"}
            await asyncio.Event().wait()
        answer.pieces_read += 1
        piece = waiting.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(waiting) or then != "end"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            assert answer.status == 0, "answered twice"
            answer.status, answer.headers = message["status"], list(message["headers"])
        else:
            answer.body += message["body"]
            if reads_on is not None:
                await reads_on.wait()

    await app(scope(method, path, query, headers), receive, send)
    assert_discreet(answer.status, answer.headers, answer.body)
    assert_declared(method, path, answer.status, answer.body)
    return answer


def scope(method: str, path: str, query: bytes, headers: Headers) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode("utf-8", "surrogateescape"),
        "root_path": "",
        "query_string": query,
        "headers": list(headers),
        "server": ("test", 80),
        "client": (PEER_ADDRESS, 50000),
    }


class Log:
    """The log lines since the last call, each checked to be one physical line of printable ASCII."""

    def __init__(self, configure: Configure) -> None:
        self._written = configure("json")
        self._seen = 0

    def lines(self) -> list[dict[str, Any]]:
        text = self._written.text[self._seen :]
        self._seen += len(text)
        assert text.isascii()
        assert text.replace("\n", "").isprintable()
        return [json.loads(line) for line in text.splitlines()]

    def line(self) -> dict[str, Any]:
        """The only line since the last call."""
        lines = self.lines()
        assert len(lines) == 1, lines
        return lines[0]


def assert_refused(answer: Answer, line: dict[str, Any], status: int, reason: str | Sequence[str]) -> None:
    """Check a refusal: a problem document that quotes nothing, its headers, and one log line with a reason.

    Of the reason, a stranger is told nothing.
    """
    document = json.loads(answer.body)
    assert (answer.status, document["status"], line["status"]) == (status, status, status)
    assert line["reason"] in ([reason] if isinstance(reason, str) else reason)
    assert {"type", "title", "status", "detail", "request_id"} <= document.keys()
    assert document["request_id"] == line["request_id"]
    assert document.get("code", line["reason"]) == line["reason"]
    assert status not in {400, 401, 405, 431} or not {"code", "errors"} & document.keys()
    assert answer.header(b"content-type") == b"application/problem+json"
    assert answer.header(b"content-length") == str(len(answer.body)).encode()
    assert answer.header(b"cache-control") == b"no-store"
    assert answer.header(b"x-request-id") == line["request_id"].encode()
    assert answer.header(b"location") is None
    assert not found_in(json.dumps(line).encode())
