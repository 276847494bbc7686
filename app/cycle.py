"""One request and its answer between a connection and the application."""

from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

_NO_BODY = frozenset({204, 304})


class Cycle(RequestResponseCycle):
    """uvicorn's, but an answer has one piece and leaves in one write; `close` is how its connection ends.

    Two writes would be two system calls, and looking for line ends in headers that are all our own costs as much as
    everything else here.
    """

    def __init__(self, *, close: Callable[[], None], **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._close = close

    async def send(self, message: Any) -> None:
        """Keep the head of the answer until its body comes."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            self.response_started = True
            self._start = message
            return
        if message.get("more_body"):
            raise NotImplementedError("an answer in pieces")
        self._answer(self._start["status"], self._start["headers"], message["body"])
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self._close()
        self.on_response()

    def _answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        lines = [b"%b: %b\r\n" % header for header in (*self.default_headers, *headers)]
        if (b"connection", b"close") in headers:
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close\r\n")
        is_bodiless = self.scope["method"] == "HEAD" or status in _NO_BODY
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", b"" if is_bodiless else body]))
