"""One request and its answer, between a connection and the application."""

from asyncio import Event
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

if TYPE_CHECKING:
    from uvicorn.protocols.http.flow_control import FlowControl

_NO_BODY = frozenset({204, 304})


class Cycle:
    """What uvicorn calls a request cycle, for an application whose every answer is one piece, so it is one write.

    `connection` is the protocol that it belongs to; that one writes into `body`, `more_body` and `disconnected`, and
    sets `message_event` when it did.
    """

    def __init__(self, connection: Any, scope: Scope, *, keep_alive: bool) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.body = bytearray()
        self.more_body = True
        self.disconnected = False
        self.response_complete = False
        self.message_event = Event()
        self.waiting_for_100_continue: bool = connection.expect_100_continue
        self._connection = connection
        self._flow: FlowControl = connection.flow
        self._head: Message = {}

    async def run_asgi(self, app: ASGIApp) -> None:
        """Have it answered; whatever happens, nobody waits for an answer that will not come."""
        try:
            await app(self.scope, self.receive, self.send)
        finally:
            if not (self.response_complete or self.disconnected):
                self._connection.transport.close()

    async def receive(self) -> Message:
        """What came of the body since the last time."""
        if self.waiting_for_100_continue:
            self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not (self.disconnected or self.response_complete):
            self._flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        """Keep the head of the answer until its body comes."""
        if self._flow.write_paused and not self.disconnected:
            await self._flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            self.waiting_for_100_continue = False
            self._head = message
            return
        if message.get("more_body"):
            raise NotImplementedError("an answer in pieces")
        self._answer(self._head["status"], self._head["headers"], message["body"])
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self._connection.close_or_linger()
        self._connection.on_response_complete()

    def _answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Write it. All headers are our own, so nobody looks for line ends in them."""
        lines = [b"%b: %b\r\n" % header for header in (*self._connection.server_state.default_headers, *headers)]
        if (b"connection", b"close") in headers:
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close\r\n")
        is_bodiless = status in _NO_BODY or self.scope["method"] == "HEAD"
        self._connection.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", b"" if is_bodiless else body]))
