"""What uvicorn's HTTP protocol leaves open: how large a request's head may be, how long it may take, how it all ends.

With httptools a head of megabytes gets through, and a connection that sends nothing stays open for ever. The
application judges complete heads (see middleware); only here can one that never completes be seen. And when the
process stops, uvicorn hangs up on every connection that waits, also where a request is on its way.
"""

from asyncio import Event, TimerHandle, Transport
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.bodies import HEAD_BYTES

HEAD_SECONDS = 10.0
# After SIGTERM, how long a connection without a request may still bring one.
LAST_REQUEST_SECONDS = 1.0

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: text/plain\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)


class Protocol(HttpToolsProtocol):
    """One connection. A head is under way from its first byte until its blank line."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_under_way = True
        self._head_bytes = 0
        self._deaf = False
        self._head_timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # As uvicorn's own.
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._hang_up)
        if self._is_stopping():
            self.shutdown()

    def shutdown(self) -> None:
        """End after the answer under way, or a second from now, since a request may be on its way already."""
        if self._is_answering():
            super().shutdown()
        else:
            self.loop.call_later(LAST_REQUEST_SECONDS, super().shutdown)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif not self._head_under_way and self._is_answering():
            self._stop_timer()
        elif self._head_timer is None:
            # A head that is not whole, or bytes that belong to no request: uvicorn has stopped its own timer.
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._hang_up)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_under_way = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._head_under_way = False
        self._head_bytes = 0
        # The parser takes no body after an Upgrade; it would read it as the next request.
        self._deaf = self.parser.should_upgrade()
        super().on_headers_complete()
        if self._is_stopping():
            # What is asked now is the last on this connection, and its answer says so.
            super().shutdown()

    def _is_stopping(self) -> bool:
        stopping: Event = self.app_state["stopping"]
        return stopping.is_set()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _hang_up(self) -> None:
        self._head_timer = None
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
