"""The frame round every request: its id, the size of its head, its errors as answers, its one closing line.

Pure ASGI, because Starlette's BaseHTTPMiddleware costs more than everything else a request does here.
"""

import asyncio
import re
from collections.abc import Awaitable
from http import HTTPStatus
from random import getrandbits
from time import monotonic

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import log
from app.errors import DeadlineExceeded, ServiceError
from app.http.requests import HEAD_BYTES, HEAD_FIELDS, REFUSED, headers_named, index_headers
from app.http.responses import CLOSE, HttpError, problem_of
from app.metrics import Metrics

# Every wait has a limit of its own inside this one; it stands for whatever nobody thought of.
ANSWER_SECONDS = 12.0

# Heroku's router sets X-Request-Id, and lets a client's own through if it looks like this.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9+/=-]{20,200}")


class RequestMiddleware:
    """The outermost layer; nothing below it answers for an error or writes a closing line."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._limit = Limit()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = monotonic()
        head_bytes = index_headers(scope)
        answer = ResponseRecorder(send, _request_id(scope))
        fields = log.start_request(answer.request_id)
        try:
            await self._answer(scope, receive, answer, head_bytes)
        finally:
            seconds = monotonic() - started
            fields["status"] = answer.status
            fields["duration_ms"] = round(seconds * 1000, 1)
            event = fields.setdefault("event", "request")
            self._metrics.count(event, fields.get("outcome", ""), answer.status, seconds)
            log.finish_request(fields, answer.status)

    async def _answer(self, scope: Scope, receive: Receive, answer: "ResponseRecorder", head_bytes: int) -> None:
        try:
            _judge_head(scope, head_bytes)
            with self._limit:
                await self._app(scope, receive, answer)
        except ClientDisconnect:
            # Nobody is there to answer, or the protocol has done it; whatever was under way goes on to its end.
            refused = scope.get(REFUSED, {"status": 499, "reason": "client_disconnect"})
            answer.status = refused["status"]
            log.bind(**refused)
        except HTTPException as error:
            await answer.problem(_refusal(error))
        except ServiceError as error:
            await answer.problem(error)
        except Exception as error:  # noqa: BLE001  # The last line of defence: loud in the log, silent outside.
            log.exception(error)
            await answer.problem(error)


class Limit:
    """Cancels whoever is longer under way than they may be, as asyncio.timeout does.

    Since all may be equally long, one timer does for all of them, and a request costs an entry in a dict.
    """

    def __init__(self) -> None:
        self._begun: dict[asyncio.Task[object] | None, float] = {}
        self._overdue: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self._begun[asyncio.current_task()] = monotonic()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._look)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        task = asyncio.current_task()
        self._begun.pop(task, None)
        if task is not None and task in self._overdue:
            self._overdue.remove(task)
            if task.uncancel() == 0 and kind is not None:
                raise DeadlineExceeded

    def _look(self) -> None:
        """Cancel those whose time is over, and look again when it is for the next."""
        self._timer = None
        over_at = monotonic() - ANSWER_SECONDS
        for task, begun in list(self._begun.items()):
            if begun > over_at:
                self._timer = asyncio.get_running_loop().call_later(begun - over_at, self._look)
                return
            del self._begun[task]
            if task is not None:
                self._overdue.add(task)
                task.cancel()


class ResponseRecorder:
    """`send` with the headers that every answer carries; remembers the status for the log."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        # 0 until an answer has begun.
        self.status = 0

    def __call__(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
            message["headers"] += [
                (b"cache-control", b"no-store"),
                (b"x-request-id", self.request_id.encode()),
            ]
        return self._send(message)

    async def problem(self, error: Exception) -> None:
        """Answer for an error, unless an answer has begun already."""
        if isinstance(error, ServiceError):
            log.bind(reason=error.reason)
        if self.status:
            return
        problem = problem_of(error)
        body = problem.body()
        headers = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body))]
        start = {
            "type": "http.response.start",
            "status": problem.status,
            "headers": headers + problem.headers,
        }
        await self(start)
        await self({"type": "http.response.body", "body": body})


def _request_id(scope: Scope) -> str:
    given = headers_named(scope, b"x-request-id")
    if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
        return given[0].decode()
    return f"{getrandbits(128):032x}"


def _judge_head(scope: Scope, head_bytes: int) -> None:
    """What the HTTP parser lets through and nothing behind us should meet."""
    if head_bytes > HEAD_BYTES or len(scope["headers"]) > HEAD_FIELDS:
        raise HttpError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", headers=CLOSE)
    if len(headers_named(scope, b"host")) != 1:
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
