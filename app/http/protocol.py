"""A connection of the web process: HTTP/1.1 by httptools on one side, ASGI on the other.

It takes the place of uvicorn's own protocol, which lets a head of megabytes through, waits for ever for one that never
ends, hangs up on requests that are on their way when the process stops, and takes a quarter longer for a request.
"""

import asyncio
from asyncio import Event, Transport
from collections import deque
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import httptools
from starlette.types import Scope
from uvicorn import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from app import log
from app.http.cycle import Cycle
from app.http.due import Due
from app.http.parsing import Parsing
from app.http.requests import HEAD_BYTES, REFUSED
from app.http.responses import HttpError, problem_of

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


class Protocol(Parsing):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__()
        self.server_state = server_state
        self._app = config.loaded_app
        self._keep_alive_seconds = config.timeout_keep_alive
        self._stopping: Event = app_state["stopping"]
        self._loop = _loop or asyncio.get_running_loop()
        self._due = Due(self._loop)
        self._unread: asyncio.TimerHandle | None = None
        # The request that was read last, the one that is answered, and those that wait for the answers before theirs.
        self._cycle: Cycle | None = None
        self._answered: Cycle | None = None
        self._pipeline: deque[Cycle] = deque()
        # What is refused once the answer before it is out.
        self._refusal: HttpError | None = None
        self._deaf = False
        self._unheard_bytes = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # TCP has this kind.
        self.transport = transport
        self.flow = FlowControl(transport)
        self.server_state.connections.add(self)  # type: ignore[arg-type]  # In the place of one of uvicorn's.
        self._due.within(HEAD_SECONDS, self._let_go)
        if self._stopping.is_set():
            self.shutdown()

    def shutdown(self) -> None:
        """End after the answer under way, or a second from now, since a request may be on its way already."""
        if self._unanswered() is None:
            self._loop.call_later(LAST_REQUEST_SECONDS, self._end)
        else:
            self._end()

    def _end(self) -> None:
        cycle = self._unanswered()
        if cycle is None:
            self.transport.close()
        else:
            cycle.keep_alive = False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # However it ended.
        self.server_state.connections.discard(self)
        self._due.close()
        self.resume_writing()
        for cycle in filter(None, (self._answered, self._cycle)):
            cycle.disconnect()

    def eof_received(self) -> None:
        """The transport closes, but not before everything is read that was written, which may be never."""
        self._hang_up()

    def pause_writing(self) -> None:
        # An answer waits until there is room, which may be for ever.
        self._unread = self._loop.call_later(UNREAD_SECONDS, self.transport.abort)
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
        self.flow.resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._unheard_bytes += len(data)
            if self._unheard_bytes > LINGER_BYTES:
                self._hang_up()
            return
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._refuse(HttpError(HTTPStatus.BAD_REQUEST, "http"))
        if self._deaf or self.transport.is_closing():
            return
        if self._bare_bytes > HEAD_BYTES:
            self._refuse(HttpError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large"))
        elif self._has_moved_on:
            self._has_moved_on = False
            self.expect_what_comes_next()

    def expect_what_comes_next(self) -> None:
        """From now on; what a cycle does where it has kept the client waiting."""
        if self._head_under_way:
            # The first one of a connection has its time from the connection's beginning.
            if self._cycle is not None:
                self._due.within(HEAD_SECONDS, self._let_go)
        elif (cycle := self._unanswered()) is not None:
            if cycle.more_body:
                self._due.within(BODY_SECONDS, self._let_go)
            else:
                self._due.lift()

    def on_head(self, scope: Scope) -> None:
        if len(self._pipeline) >= PIPELINED:
            raise httptools.HttpParserError("too many at once")
        before = self._unanswered()
        keep_alive = scope["http_version"] != "1.0" and self._parser.should_keep_alive()
        self._cycle = cycle = Cycle(self, scope, keep_alive=keep_alive, expects_continue=self._expects_continue)
        if before is None:
            self._answer(cycle)
        else:
            self.flow.pause_reading()
            self._pipeline.append(cycle)
        if self._stopping.is_set():
            # What is asked now is the last on this connection, and its answer says so.
            cycle.keep_alive = False

    def _answer(self, cycle: Cycle) -> None:
        self._answered = cycle
        task = self._loop.create_task(cycle.run(self._app))
        self.server_state.tasks.add(task)
        task.add_done_callback(self.server_state.tasks.discard)

    def on_body(self, body: bytes) -> None:
        self._bare_bytes -= len(body)
        cycle = self._unanswered()
        if cycle is not None and cycle.take(body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        self._bare_bytes = 0
        self._has_moved_on = True
        cycle = None if self._upgrading else self._unanswered()
        if cycle is not None:
            cycle.take_end()

    def on_response_complete(self) -> None:
        """What a cycle does behind its answer."""
        if self._deaf and self._refusal is None:
            # Our side is closed already.
            self._pipeline.clear()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self._pipeline:
            self._answer(self._pipeline.popleft())
            self.expect_what_comes_next()
        elif self._refusal is not None:
            self._refuse(self._refusal)
        elif not (self._head_under_way or self._deaf):
            self._due.within(self._keep_alive_seconds, self._hang_up)

    def _unanswered(self) -> Cycle | None:
        """The request that was read last, unless its answer is out."""
        return None if self._cycle is None or self._cycle.response_complete else self._cycle

    def _refuse(self, refusal: HttpError) -> None:
        """Answer for what will never be a request, behind the answers that are still owed."""
        self._deaf = True
        cycle = self._unanswered()
        if cycle is not None and self._owes_answers(cycle):
            self._due.lift()
            self._refusal = refusal
            return
        problem, fields = problem_of(refusal), log.start_request(uuid4().hex)
        fields |= {"status": problem.status, "reason": refusal.reason}
        body = problem.body()
        headers = b"content-type: application/problem+json\r\ncache-control: no-store\r\nconnection: close\r\n"
        ids = b"x-request-id: %s\r\ncontent-length: %d\r\n\r\n" % (fields["request_id"].encode(), len(body))
        self.transport.write(STATUS_LINE[problem.status] + headers + ids + body)
        if cycle is None:
            log.finish_request(fields, problem.status)
        else:
            # Its body broke off; the frame writes the line.
            cycle.scope[REFUSED] = fields
            cycle.disconnect()
        self._linger()

    def _owes_answers(self, last: Cycle) -> bool:
        if self._pipeline and last.more_body:
            # What is refused is the body of a request whose turn has not come, and never will.
            self._pipeline.pop()
            last.response_complete = True
            return True
        return not last.more_body

    def close_or_linger(self) -> None:
        """What a cycle does behind its last answer; what was to be refused behind that has nowhere to go any more."""
        self._refusal = None
        if self._cycle is not None and self._cycle.more_body:
            self._linger()
        else:
            self._hang_up()

    def _linger(self) -> None:
        self._deaf = True
        self.transport.write_eof()
        self.flow.resume_reading()
        self._due.within(LINGER_SECONDS, self._hang_up)

    def _let_go(self) -> None:
        """The time of a head or a body is over; a connection without a byte has asked for nothing."""
        cycle = self._unanswered()
        if self.flow.read_paused or (cycle is not None and cycle.expects_continue):
            # It is not the client who is slow.
            self._due.within(BODY_SECONDS, self._let_go)
        elif self._head_under_way:
            self._refuse(HttpError(HTTPStatus.REQUEST_TIMEOUT, "head_timeout"))
        elif cycle is None:
            self._hang_up()
        else:
            self._refuse(HttpError(HTTPStatus.REQUEST_TIMEOUT, "body_timeout"))

    def _hang_up(self) -> None:
        """Close, and what is written already is not kept for ever for a client that does not read it."""
        self.transport.close()
        self._due.within(UNREAD_SECONDS, self.transport.abort)
