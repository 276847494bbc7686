"""What every request gets: an id, a bounded head, a deadline, errors as responses, one closing line in the log.

Pure ASGI, because Starlette's BaseHTTPMiddleware costs more than everything else a request does here.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from random import getrandbits
from time import monotonic

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import log
from app.errors import DeadlineExceeded, ServiceError
from app.http.answers import ANSWERS, PIECE_BYTES, AnswerBudget, send_in_pieces
from app.http.bodies import BODIES, BodyBudget
from app.http.requests import DISCONNECTED, HEAD_BYTES, HEAD_FIELDS, headers_named, index_headers
from app.http.responses import ADMITTED, BUG, CLOSE, HttpError, problem_of
from app.http.tracing import take_trace
from app.log_format import Fields
from app.metrics import Metrics

# Until a response begins. Every wait has a limit of its own inside this one; it ends those that were forgotten.
ANSWER_SECONDS = 12.0

# Heroku's router sets X-Request-Id, and lets a client's own through if it looks like this.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9+/=-]{20,200}")


# Takes the fields of a closing line and the seconds that the request took. It must neither wait nor fail.
Record = Callable[[Fields, float], None]


def _forget(fields: Fields, seconds: float) -> None:
    """Where no history is kept."""


@dataclass(frozen=True, slots=True)
class ProblemHeaders:
    """What problem documents carry more at a path and below it; without a path, nothing."""

    path: str = ""
    headers: Sequence[tuple[bytes, bytes]] = ()

    def of(self, path: str) -> list[tuple[bytes, bytes]]:
        """The headers of a request's path."""
        return list(self.headers) if path == self.path or path.startswith(f"{self.path}/") else []


class RequestMiddleware:
    """The outermost layer; nothing below it turns an error into a response or writes a closing line."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, record: Record = _forget, problem_headers: "ProblemHeaders | None" = None
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._record = record
        self._problem_headers = problem_headers or ProblemHeaders()
        self._deadline = ResponseDeadline()
        self._bodies = BodyBudget()
        self._answers = AnswerBudget()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = monotonic()
        head_bytes = index_headers(scope)
        scope[BODIES], scope[ANSWERS] = self._bodies, self._answers
        response = ResponseRecorder(scope, send, self._deadline, self._problem_headers)
        fields = log.start_request(response.request_id)
        trace_id = take_trace(scope)
        if trace_id is not None:
            log.bind(trace_id=trace_id)
        try:
            await self._answer(scope, receive, response, head_bytes)
        finally:
            self._bodies.release(scope)
            self._answers.release(scope)
            seconds = monotonic() - started
            fields["status"] = response.status
            fields["duration_ms"] = round(seconds * 1000, 1)
            event = fields.setdefault("event", "request")
            self._metrics.count(event, fields.get("outcome", ""), response.status, seconds)
            self._record(fields, seconds)
            log.finish_request(fields, response.status)

    async def _answer(self, scope: Scope, receive: Receive, response: "ResponseRecorder", head_bytes: int) -> None:
        try:
            _check_head(scope, head_bytes)
            self._deadline.start(response)
            await self._app(scope, receive, response)
        except (Exception, asyncio.CancelledError) as error:
            # Some code makes another exception of being cancelled.
            if self._deadline.has_expired(response):
                await response.problem(DeadlineExceeded())
            elif isinstance(error, Exception):
                await _answer_error(scope, response, error)
            else:
                raise
        finally:
            self._deadline.stop(response)


class ResponseDeadline:
    """Cancels requests that have no response in time.

    As asyncio.timeout does, which sets a timer for each request and takes 7 % of an ensure-user. All may take equally
    long, so the oldest is always due first, and one timer is enough.
    """

    def __init__(self) -> None:
        # In the order of their start.
        self._waiting: dict[ResponseRecorder, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self, response: "ResponseRecorder") -> None:
        """Let the time of a response begin; called in the task that is to be cancelled."""
        response.task = asyncio.current_task()
        self._waiting[response] = monotonic() + ANSWER_SECONDS
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._cancel_expired)

    def stop(self, response: "ResponseRecorder") -> None:
        """A stream that has begun may take as long as its client reads it."""
        self._waiting.pop(response, None)

    def has_expired(self, response: "ResponseRecorder") -> bool:
        """Whether the time was over, and nothing else has cancelled the task."""
        return response.is_late and response.task is not None and response.task.uncancel() == 0

    def _cancel_expired(self) -> None:
        self._timer = None
        now = monotonic()
        for response, due_at in list(self._waiting.items()):
            if due_at > now:
                self._timer = asyncio.get_running_loop().call_later(due_at - now, self._cancel_expired)
                return
            self.stop(response)
            if response.task is not None:
                response.is_late = True
                response.task.cancel()


class ResponseRecorder:
    """`send` with the headers that every response carries; remembers the status for the log."""

    def __init__(self, scope: Scope, send: Send, deadline: ResponseDeadline, problem_headers: "ProblemHeaders") -> None:
        self._scope = scope
        self._problem_headers = problem_headers
        self._send = send
        self._deadline = deadline
        self.request_id = _request_id(scope)
        # 0 until a response has begun.
        self.status = 0
        self.task: asyncio.Task[object] | None = None
        self.is_late = False

    def __call__(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self._deadline.stop(self)
            self._start(message)
        elif message.get("more_body") and DISCONNECTED in self._scope:
            # uvicorn drops it and returns at once, so a generator that awaits nothing else would keep the loop.
            raise ClientDisconnect
        elif len(message.get("body", b"")) > PIECE_BYTES:
            return send_in_pieces(self, message)
        return self._send(message)

    def _start(self, message: Message) -> None:
        self.status = int(message["status"])
        headers = list(message.get("headers", ()))
        if b"cache-control" not in dict(headers):
            headers.append((b"cache-control", b"no-store"))
        headers.append((b"x-request-id", self.request_id.encode()))
        message["headers"] = headers

    async def problem(self, error: Exception) -> None:
        """Answer with a problem document, unless a response has begun already."""
        if isinstance(error, ServiceError):
            log.bind(reason=error.reason)
        if self.status:
            return
        problem = problem_of(error)
        body = problem.body(self.request_id, is_admitted=ADMITTED in self._scope)
        headers = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body))]
        headers += problem.headers + self._problem_headers.of(self._scope["path"])
        start = {"type": "http.response.start", "status": problem.status, "headers": headers}
        self._start(start)
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})


async def _answer_error(scope: Scope, response: ResponseRecorder, error: Exception) -> None:
    match error:
        case ClientDisconnect():
            # The work that the client asked for is finished all the same.
            fields = scope.get(DISCONNECTED, {"status": 499, "reason": "client_disconnect"})
            response.status = response.status or fields.get("status", 499)
            log.bind(**fields)
        case HTTPException():
            await response.problem(_refusal(error))
        case ServiceError():
            await response.problem(error)
        case _:
            log.exception(error)
            log.bind(reason=BUG)
            await response.problem(error)


def _request_id(scope: Scope) -> str:
    given = headers_named(scope, b"x-request-id")
    if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
        return given[0].decode()
    return f"{getrandbits(128):032x}"


def _check_head(scope: Scope, head_bytes: int) -> None:
    """Refuse what the HTTP parser lets through and no application should meet."""
    if head_bytes > HEAD_BYTES or len(scope["headers"]) > HEAD_FIELDS:
        raise HttpError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", headers=CLOSE)
    hosts = len(headers_named(scope, b"host"))
    # HTTP/1.0 knows no Host, and the health checks of HAProxy and Nagios send none.
    if hosts != 1 and (hosts or scope["http_version"] != "1.0"):
        raise HttpError(HTTPStatus.BAD_REQUEST, "host", headers=CLOSE)
    if not scope["path"].isprintable():
        # The router's pattern would forgive a line end behind a path.
        raise HttpError(HTTPStatus.NOT_FOUND, "path", headers=CLOSE)


def _refusal(error: HTTPException) -> HttpError:
    """Starlette's router speaks of paths and methods only."""
    headers = [(name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()]
    status = HTTPStatus(error.status_code)
    reason = "method" if status == HTTPStatus.METHOD_NOT_ALLOWED else "path"
    return HttpError(status, reason, headers=headers + CLOSE)
