"""HTTP requests and responses as the stand-ins see them."""

import json
import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was read whole; `path` has no query, header names are in lower case.

    Of a parameter that is given twice `query` holds the last value, and `raw_query` all of them.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    raw_query: str = ""

    @property
    def keeps_alive(self) -> bool:
        return self.headers.get("connection", "").lower() != "close"


EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Response:
    """A response; how long it is, or that its end is marked, is added when it is sent.

    Of a stream of server-sent events `pace` is how many seconds pass between two of them.
    """

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    pace: float = 0.0

    @property
    def is_stream(self) -> bool:
        return ("Content-Type", EVENT_STREAM) in self.headers

    @property
    def events(self) -> list[bytes]:
        """The events of a stream, each with the empty line that ends it."""
        return [event for event in re.split(rb"(?<=\n\n)", self.body) if event]


def json_response(status: int, payload: Any) -> Response:
    return Response(status, json.dumps(payload, separators=(",", ":")).encode())
