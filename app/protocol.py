"""What uvicorn's HTTP protocol leaves open: how large a request's head may be, how long it may take, how it all ends.

With httptools a head of megabytes gets through, and a connection that sends nothing stays open for ever. The
application judges complete heads (see middleware); only here can one that never completes be seen. And when the
process stops, uvicorn hangs up on every connection that waits, also where a request is on its way.
"""

import logging
from asyncio import Event, TimerHandle, Transport
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app import logs
from app.bodies import HEAD_BYTES, REFUSED
from app.outlet import Outlet
from app.problems import Refusal, problem_of
from app.request_parser import RequestParser

HEAD_SECONDS = 10.0
# After SIGTERM, how long a connection without a request may still bring one.
LAST_REQUEST_SECONDS = 1.0
# Closed while bytes are still coming, a socket is reset, and the reset overtakes the answer. So our side is closed
# first, and what comes meanwhile is thrown away, for so long and so much of it.
LINGER_SECONDS = 3.0
LINGER_BYTES = 16 * 1024 * 1024
# How many requests of a connection may wait for the one before them; one read could bring ten thousand, at 11 KB each.
PIPELINED = 100
# How long a client may take to read on, before its answers and its connection are thrown away.
UNREAD_SECONDS = 10.0


class Protocol(HttpToolsProtocol):
    """One connection. A head is under way from its first byte until its blank line."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = logging.getLogger(logs.WIRE)
        self.parser = RequestParser(self, self._renew_parser)
        self._head_under_way = False
        self._head_begun = False
        # What came since the head began, or since the last chunk, without being body: heads, sizes and trailers.
        self._bare_bytes = 0
        self._upgrading = False
        self._timer: TimerHandle | None = None
        self._unread: TimerHandle | None = None
        # What is refused once the answer before it is out.
        self._refusal: Refusal | None = None
        self._deaf = False
        self._unheard_bytes = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # As uvicorn's own.
        super().connection_made(transport)
        self._outlet = Outlet(self)
        self._timer = self.loop.call_later(HEAD_SECONDS, self._let_go)
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
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        # An answer waits until there is room, and where our deadline has passed, uvicorn's own error waits for ever.
        self._unread = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._unheard_bytes += len(data)
            if self._unheard_bytes > LINGER_BYTES:
                self._hang_up()
            return
        self._bare_bytes += len(data)
        super().data_received(data)
        if self._deaf or self.transport.is_closing():
            return
        if self._bare_bytes > HEAD_BYTES:
            self._refuse(Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large"))
        elif not self._head_under_way and self._is_answering():
            self._stop_timer()
        elif self._timer is None or self._head_begun:
            # A head that is not whole, or bytes that belong to no request: uvicorn has stopped its own timer.
            self._stop_timer()
            self._timer = self.loop.call_later(HEAD_SECONDS, self._let_go)
        self._head_begun = False

    def on_message_begin(self) -> None:
        super().on_message_begin()
        # The first one of a connection has its time from the connection's beginning.
        self._head_begun = self.cycle is not None
        self._head_under_way = True
        self._bare_bytes = 0

    def on_headers_complete(self) -> None:
        self._upgrading = self.parser.should_upgrade()
        if self._upgrading:
            return
        if len(self.pipeline) >= PIPELINED:
            raise httptools.HttpParserError("too many at once")
        self._head_under_way = False
        super().on_headers_complete()
        self.cycle.transport = self._outlet  # type: ignore[assignment]  # All that it uses of one.
        if self._is_stopping():
            # What is asked now is the last on this connection, and its answer says so.
            super().shutdown()

    def on_body(self, body: bytes) -> None:
        self._bare_bytes -= len(body)
        super().on_body(body)

    def on_chunk_complete(self) -> None:
        self._bare_bytes = 0

    def on_message_complete(self) -> None:
        self._bare_bytes = 0
        if not self._upgrading:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self._outlet.flush()
        if self._deaf and self._refusal is None:
            # Our side is closed already.
            self.pipeline.clear()
        is_last = not self.pipeline
        super().on_response_complete()
        if is_last and self._refusal is not None and not self.transport.is_closing():
            self._refuse(self._refusal)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's text says no more.
        self._refuse(Refusal(HTTPStatus.BAD_REQUEST, "http"))

    def _renew_parser(self) -> RequestParser:
        """Read the last head once more, as if it asked for no upgrade; what is behind it is for the new parser."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise httptools.HttpParserError("not a proxy")
        lines = [b"%s %s HTTP/%s" % (method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        parser = self.parser = RequestParser(self, self._renew_parser)
        parser.feed_data(b"\r\n".join([*lines, b"", b""]))
        return parser

    def _is_stopping(self) -> bool:
        stopping: Event = self.app_state["stopping"]
        return stopping.is_set()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, refusal: Refusal) -> None:
        """Answer for what will never be a request, behind the answers that are still owed."""
        self._deaf = True
        if self._owes_answers():
            self._stop_timer()
            self._refusal = refusal
            return
        problem, fields = problem_of(refusal), logs.begin(uuid4().hex)
        fields |= {"status": problem.status, "reason": refusal.reason}
        body = problem.body()
        headers = b"content-type: application/problem+json\r\ncache-control: no-store\r\nconnection: close\r\n"
        ids = b"x-request-id: %s\r\ncontent-length: %d\r\n\r\n" % (fields["request_id"].encode(), len(body))
        self.transport.write(STATUS_LINE[problem.status] + headers + ids + body)
        if self._is_answering():
            # Its body broke off; the frame writes the line.
            self.cycle.scope[REFUSED] = fields  # type: ignore[literal-required]
            self.cycle.waiting_for_100_continue = False
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        else:
            logs.close(fields, problem.status)
        self._linger()

    def _owes_answers(self) -> bool:
        if self.pipeline and self.cycle.more_body:
            # What is refused is the body of a request whose turn has not come, and never will.
            self.pipeline.popleft()
            self.cycle.response_complete = True
            return True
        return self._is_answering() and not self.cycle.more_body

    def close_or_linger(self) -> None:
        """What a cycle does behind its last answer."""
        if self.cycle.more_body:
            self._linger()
        else:
            self._hang_up()

    def _linger(self) -> None:
        self._deaf = True
        self._stop_timer()
        self.transport.write_eof()
        self.flow.resume_reading()
        self._timer = self.loop.call_later(LINGER_SECONDS, self._hang_up)

    def _let_go(self) -> None:
        """The time of a head is over; a connection without a byte has asked for nothing."""
        self._timer = None
        if self._head_under_way:
            self._refuse(Refusal(HTTPStatus.REQUEST_TIMEOUT, "head_timeout"))
        else:
            self._hang_up()

    def timeout_keep_alive_handler(self) -> None:
        self._hang_up()

    def _hang_up(self) -> None:
        """Close, and what is written already is not kept for ever for a client that does not read it."""
        self._stop_timer()
        self.transport.close()
        self._timer = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
