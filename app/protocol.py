"""What uvicorn's HTTP protocol leaves open: how large a request's head may be, how long it may take, how it all ends.

With httptools a head of megabytes gets through, and a connection that sends nothing stays open for ever. The
application judges complete heads (see middleware); only here can one that never completes be seen. And when the
process stops, uvicorn hangs up on every connection that waits, also where a request is on its way.
"""

import logging
from asyncio import Event, TimerHandle, Transport
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app import logs
from app.bodies import REFUSED
from app.cycle import Cycle
from app.headers import HEAD_BYTES
from app.problems import Refusal, problem_of

HEAD_SECONDS = 10.0
# From the end of the head to the last byte of the body.
BODY_SECONDS = 5.0
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

_ASGI = {"version": "3.0", "spec_version": "2.3"}


class Protocol(HttpToolsProtocol):
    """One connection. A head is under way from its first byte until its blank line.

    A timer for each request would cost as much as reading it. So there is one for the connection, which looks at what
    is due when it fires, and is only set anew for what is due before that.
    """

    cycle: Cycle  # type: ignore[assignment]  # In the place of uvicorn's.

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = logging.getLogger(logs.WIRE)
        self._head_under_way = False
        # Whether a head or a body has begun or ended in what is being read.
        self._has_moved_on = False
        # What came since the head began, or since the last chunk, without being body: heads, sizes and trailers.
        self._bare_bytes = 0
        self._upgrading = False
        # When the client has to have done something, by the loop's clock, or what is to be done then.
        self._due: float | None = None
        self._otherwise: Callable[[], None] = self._let_go
        self._timer: TimerHandle | None = None
        self._timer_at = 0.0
        self._unread: TimerHandle | None = None
        # What is refused once the answer before it is out.
        self._refusal: Refusal | None = None
        self._deaf = False
        self._unheard_bytes = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # As uvicorn's own.
        super().connection_made(transport)
        self._expect_within(HEAD_SECONDS, self._let_go)
        if self._is_stopping():
            self.shutdown()

    def shutdown(self) -> None:
        """End after the answer under way, or a second from now, since a request may be on its way already."""
        if self._is_answering():
            super().shutdown()
        else:
            self.loop.call_later(LAST_REQUEST_SECONDS, super().shutdown)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
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
        try:
            self._read(data)
        except httptools.HttpParserError:
            self._refuse(Refusal(HTTPStatus.BAD_REQUEST, "http"))
        if self._deaf or self.transport.is_closing():
            return
        if self._bare_bytes > HEAD_BYTES:
            self._refuse(Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large"))
        elif self._has_moved_on:
            self._has_moved_on = False
            self._expect_what_comes_next()

    def _read(self, data: bytes) -> None:
        """Have it parsed. An Upgrade is ignored, as RFC 9110 7.8 allows; the parser would take the body behind it for
        the next request.
        """
        rest = memoryview(data)
        while True:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                # One read may bring thousands of them.
                rest = rest[upgrade.args[0] :]
                self._renew_parser()
            else:
                return

    def _expect_what_comes_next(self) -> None:
        if self._head_under_way:
            # The first one of a connection has its time from the connection's beginning.
            if self.cycle is not None:
                self._expect_within(HEAD_SECONDS, self._let_go)
        elif self._is_answering():
            self._due = None
            if self.cycle.more_body:
                self._expect_within(BODY_SECONDS, self._let_go)

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._head_under_way = self._has_moved_on = True
        self._bare_bytes = 0

    def on_headers_complete(self) -> None:
        self._upgrading = self.parser.should_upgrade()
        if self._upgrading:
            return
        if len(self.pipeline) >= PIPELINED:
            raise httptools.HttpParserError("too many at once")
        self._head_under_way = False
        self._has_moved_on = True
        before: Cycle | None = self.cycle  # None before the first.
        self.cycle = self._begin_cycle()
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
        if self._is_stopping():
            # What is asked now is the last on this connection, and its answer says so.
            super().shutdown()

    def _begin_cycle(self) -> Cycle:
        version = self.parser.get_http_version()
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": self.parser.get_method().decode("ascii"),
            "scheme": self.scheme,
            "path": unquote(path) if "%" in path else path,
            "raw_path": url.path,
            "query_string": url.query or b"",
            "root_path": "",
            "headers": self.headers,
            "client": self.client,
            "server": self.server,
        }
        return Cycle(self, scope, keep_alive=version != "1.0" and self.parser.should_keep_alive())

    def on_body(self, body: bytes) -> None:
        self._bare_bytes -= len(body)
        super().on_body(body)

    def on_chunk_complete(self) -> None:
        self._bare_bytes = 0

    def on_message_complete(self) -> None:
        self._bare_bytes = 0
        self._has_moved_on = True
        if not self._upgrading:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self._deaf and self._refusal is None:
            # Our side is closed already.
            self.pipeline.clear()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._refusal is not None:
            self._refuse(self._refusal)
        elif not (self._head_under_way or self._deaf):
            self._expect_within(self.timeout_keep_alive, self._hang_up)

    def _renew_parser(self) -> None:
        """Read the last head once more, as if it asked for no upgrade; what is behind it is for the new parser."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise httptools.HttpParserError("not a proxy")
        lines = [b"%s %s HTTP/%s" % (method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        # As uvicorn's: a request behind one that says "close" does no harm to the answer before it.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(b"\r\n".join([*lines, b"", b""]))

    def _is_stopping(self) -> bool:
        stopping: Event = self.app_state["stopping"]
        return stopping.is_set()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, refusal: Refusal) -> None:
        """Answer for what will never be a request, behind the answers that are still owed."""
        self._deaf = True
        if self._owes_answers():
            self._due = None
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
        self.transport.write_eof()
        self.flow.resume_reading()
        self._expect_within(LINGER_SECONDS, self._hang_up)

    def _let_go(self) -> None:
        """The time of a head or a body is over; a connection without a byte has asked for nothing."""
        if self._head_under_way:
            self._refuse(Refusal(HTTPStatus.REQUEST_TIMEOUT, "head_timeout"))
        elif not self._is_answering():
            self._hang_up()
        elif self.flow.read_paused:
            # It is not the client who is slow.
            self._expect_within(BODY_SECONDS, self._let_go)
        else:
            self._refuse(Refusal(HTTPStatus.REQUEST_TIMEOUT, "body_timeout"))

    def _hang_up(self) -> None:
        """Close, and what is written already is not kept for ever for a client that does not read it."""
        self.transport.close()
        self._expect_within(UNREAD_SECONDS, self.transport.abort)

    def _expect_within(self, seconds: float, otherwise: Callable[[], None]) -> None:
        self._due, self._otherwise = self.loop.time() + seconds, otherwise
        if self._timer is None or self._due < self._timer_at:
            self._set_timer(self._due)

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = self.loop.call_at(at, self._look_at_the_clock), at

    def _look_at_the_clock(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self.loop.time() < self._due:
            self._set_timer(self._due)
        else:
            self._due = None
            self._otherwise()
