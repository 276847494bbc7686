"""One request and its answer, between a connection and the application."""

from asyncio import Future, get_running_loop
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

if TYPE_CHECKING:
    from uvicorn.protocols.http.flow_control import FlowControl


_NO_BODY = frozenset({204, 304})


class Cycle:
    """Called a request cycle by uvicorn. Every answer here is one piece, so it is one write.

    `connection` is the protocol that it belongs to.
    """

    def __init__(self, connection: Any, scope: Scope, *, keep_alive: bool, expects_continue: bool) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        # Whether the client keeps its body until it is asked for it.
        self.expects_continue = expects_continue
        self.more_body = True
        self.response_complete = False
        self._connection = connection
        self._flow: FlowControl = connection.flow
        self._body = bytearray()
        # Whether there is something to receive, and who waits for it.
        self._has_news = False
        self._waiter: Future[None] | None = None
        self._is_disconnected = False
        self._head: Message = {}

    def take(self, body: bytes) -> int:
        """More of the body; returns how much of it nobody has asked for yet."""
        self._body += body
        self._tell()
        return len(self._body)

    def take_end(self) -> None:
        """There is no more of the body."""
        self.more_body = False
        self._tell()

    def disconnect(self) -> None:
        """Nobody is there any more, to be heard or answered."""
        self._is_disconnected = True
        self._tell()

    def _tell(self) -> None:
        self._has_news = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def run(self, app: ASGIApp) -> None:
        """Have it answered; whatever happens, nobody waits for an answer that will not come."""
        try:
            await app(self.scope, self.receive, self.send)
        finally:
            if not (self.response_complete or self._is_disconnected):
                self._connection.transport.close()

    async def receive(self) -> Message:
        """What came of the body since the last time."""
        if self.expects_continue and not self._is_disconnected:
            self.expects_continue = False
            self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._connection.expect_what_comes_next()
        if not (self._has_news or self._is_disconnected or self.response_complete):
            if self._flow.read_paused:
                self._flow.resume_reading()
                self._connection.expect_what_comes_next()
            self._waiter = get_running_loop().create_future()
            await self._waiter
        self._has_news = False
        if self._is_disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self._body = bytes(self._body), bytearray()
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        """Keep the head of the answer until its body comes."""
        if self._flow.write_paused and not self._is_disconnected:
            await self._flow.drain()
        if self._is_disconnected:
            return
        if message["type"] == "http.response.start":
            self.expects_continue = False
            self._head = message
            return
        if message.get("more_body"):
            raise NotImplementedError("an answer in pieces")
        self._answer(self._head["status"], self._head["headers"], message["body"])
        self.response_complete = True
        self._tell()
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
