"""uvicorn's HTTP/1.1 protocol, with limits on what one client can cost.

uvicorn 0.54 bounds neither the size of a head nor the time of a head, a body or an unread response, and at SIGTERM it
closes connections on which a request may be on its way. `LimitedProtocol` mends that and leaves the rest to uvicorn. It
leans on attributes that uvicorn does not document; tests/http/test_uvicorn.py lists them.
"""

import asyncio
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from app import log
from app.http.pace import ReadingPace, unacknowledged_bytes
from app.http.parsing import StrictProtocol
from app.http.requests import DISCONNECTED, HEAD_BYTES
from app.http.responses import ADMITTED, HttpError, last_response, problem_of

# From the first byte of a head to its end; also from the beginning of a connection to its first head.
HEAD_SECONDS = 10.0
# From the end of a head to the last byte of the body.
BODY_SECONDS = 5.0
# How many requests of a connection may wait for the one before them: one read can bring ten thousand, at 11 KB each.
PIPELINED = 100
# After SIGTERM, how long a connection without a request may still bring one.
LAST_REQUEST_SECONDS = 1.0
# A socket that is closed while bytes arrive is reset, and the reset overtakes the response. So only our side is closed
# at first, and what arrives is thrown away: for so long, and so much of it.
LINGER_SECONDS = 3.0
LINGER_BYTES = 16 * 1024 * 1024


class LimitedProtocol(StrictProtocol):
    """One connection. A timer for each request would cost as much as parsing it, so a request only moves a deadline."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # As uvicorn's.
        super().connection_made(transport)
        self._tcp = transport
        # What uvicorn writes to and closes.
        facade = SimpleNamespace(write=self._write, is_closing=self._is_closing, close=self._close)
        self.transport = cast("asyncio.Transport", facade)
        # By when the rest of a head or of a body, or the next request, has to be there.
        self._deadline: float | None = self.loop.time() + HEAD_SECONDS
        # What came since the read in which the head began, or since the last chunk ended, without being body.
        self._head_bytes = 0
        self._written_bytes = 0
        self._pace = ReadingPace()
        # The request that is being answered; `cycle` is the one that was read last.
        self._answering: RequestResponseCycle | None = None
        # Sent after the responses that are still owed. Once it is set, nothing is parsed any more.
        self._refusal: HttpError | None = None
        self._is_lingering = False
        self._discarded_bytes = 0
        self._is_stopping = False
        if self.app_state["stopping"].is_set():
            self.shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._answering is not None:
            _disconnect(self._answering, {"status": 499, "reason": "client_disconnect"})

    def shutdown(self) -> None:
        """End after the response under way; without one a second from now, since a request may be on its way."""
        self._is_stopping = True
        if self._is_idle():
            self.loop.call_later(LAST_REQUEST_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def enforce_limits(self, now: float) -> None:
        """End what takes too long; called about once a second, so it is that much late at most."""
        unsent = self._tcp.get_write_buffer_size()
        if unsent:
            unsent += unacknowledged_bytes(self._tcp.get_extra_info("socket"))
        if self._pace.is_too_slow(now, written=self._written_bytes, unsent=unsent):
            self._tcp.abort()
        if self._deadline is None:
            return
        # The rest is late because we do not read, or have not asked for it.
        is_our_turn = self.flow.read_paused or (self.cycle is not None and self.cycle.waiting_for_100_continue)
        if is_our_turn and not self._is_lingering:
            self._deadline = max(self._deadline, now + BODY_SECONDS)
        elif now >= self._deadline:
            if self._is_lingering or (self._is_idle() and not self._in_head):
                self._tcp.close()
            else:
                self._refuse(HttpError(HTTPStatus.REQUEST_TIMEOUT, "head_timeout" if self._in_head else "body_timeout"))

    def abort(self) -> None:
        """Reset the connection, in any state."""
        self._tcp.abort()

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None or self._is_lingering:
            self._discarded_bytes += len(data)
            if self._discarded_bytes > LINGER_BYTES:
                self._tcp.close()
            return
        self._head_bytes += len(data)
        try:
            self.parse(data)
        except httptools.HttpParserError:
            self._refuse(HttpError(HTTPStatus.BAD_REQUEST, "http"))
            return
        if self._head_bytes > HEAD_BYTES:
            self._refuse(HttpError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large"))
        elif self._deadline is None:
            if self._in_head:
                self._deadline = self.loop.time() + HEAD_SECONDS
            elif self.cycle.more_body:
                self._deadline = self.loop.time() + BODY_SECONDS

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        self._deadline = None

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= PIPELINED:
            raise httptools.HttpParserError("too many requests in the pipeline")
        super().on_headers_complete()
        if self._in_head:  # It asks for an Upgrade, and is parsed again without.
            return
        self._deadline = None
        if not self.pipeline:
            self._answering = self.cycle
        if self._is_stopping:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._head_bytes -= len(body)
        super().on_body(body)

    def on_chunk_complete(self) -> None:
        self._head_bytes = 0

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self._in_head:
            return
        self._deadline = None
        if self.cycle.response_complete:
            self.cycle.more_body = False
            self._keep_or_close()

    def on_response_complete(self) -> None:
        """As uvicorn's, but without a timer, and with the refusal after the last response."""
        self.server_state.total_requests += 1
        if self._is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._answering, app = self.pipeline.pop()
            self._start_asgi_task(self._answering, app)
        elif self._refusal is not None:
            self._send(self._refusal)
        elif not (self._in_head or self.cycle.more_body):
            self._keep_or_close()

    def _keep_or_close(self) -> None:
        if self.cycle.keep_alive:
            self._deadline = self.loop.time() + self.timeout_keep_alive
        else:
            self._close()

    def _refuse(self, error: HttpError) -> None:
        """Answer what will never be a request, after the responses that are still owed."""
        if self._is_closing():
            return
        self._refusal = error
        self._deadline = None
        if self._is_idle():
            self._send(error)
        elif self.cycle.more_body:
            if self.pipeline:
                # The request that breaks off is the last in the pipeline, and its turn never comes.
                self.pipeline.popleft()
            else:
                self._send(error, self.cycle)

    def _send(self, refusal: HttpError, cycle: RequestResponseCycle | None = None) -> None:
        """Write the refusal and the closing line; of a request under way, the middleware writes the line."""
        if cycle is not None and cycle.response_started:
            _disconnect(cycle, {"reason": refusal.reason})
        else:
            problem, fields = problem_of(refusal), log.start_request(uuid4().hex)
            fields |= {"status": problem.status, "reason": refusal.reason}
            is_admitted = cycle is not None and ADMITTED in cycle.scope
            last = last_response(problem, fields["request_id"], is_admitted=is_admitted)
            self._write(STATUS_LINE[problem.status] + last)
            if cycle is None:
                log.finish_request(fields, problem.status)
            else:
                _disconnect(cycle, fields)
        self._close()

    def _write(self, data: bytes) -> None:
        self._written_bytes += len(data)
        self._tcp.write(data)

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _is_closing(self) -> bool:
        return self._is_lingering or self._tcp.is_closing()

    def _close(self) -> None:
        """Close; while the client is still sending, only our side."""
        is_receiving = self._refusal is not None or (self.cycle is not None and self.cycle.more_body)
        if self._is_closing() or not is_receiving:
            self._tcp.close()
            return
        self._is_lingering = True
        self._deadline = self.loop.time() + LINGER_SECONDS
        self._tcp.write_eof()
        self.flow.resume_reading()


def _disconnect(cycle: RequestResponseCycle, fields: dict[str, Any]) -> None:
    """Tell the application that nothing more is received or sent, and the closing line why."""
    cast("dict[str, Any]", cycle.scope).setdefault(DISCONNECTED, fields)
    cycle.disconnected = True
    cycle.message_event.set()
