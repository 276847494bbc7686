"""The frame round every request: its id, the size of its head, its errors as answers, its one closing line.

Pure ASGI, because Starlette's BaseHTTPMiddleware costs more than everything else a request does here.
"""

import asyncio
import re
from http import HTTPStatus
from itertools import chain
from random import getrandbits
from time import perf_counter

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import logs
from app.bodies import HEAD_BYTES, REFUSED, headers_named
from app.errors import ServiceError, Unavailable
from app.metrics import Metrics
from app.problems import CLOSE, Refusal, problem_of

HEAD_FIELDS = 100
# Every wait has a limit of its own inside this one; it stands for whatever nobody thought of.
ANSWER_SECONDS = 12.0

# Heroku's router sets X-Request-Id, and lets a client's own through if it looks like this.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9+/=-]{20,200}")


class Frame:
    """The outermost layer; nothing below it answers for an error or writes a closing line."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        answer = Answer(send, _request_id(scope))
        fields = logs.begin(answer.request_id)
        try:
            await self._answer(scope, receive, answer)
        finally:
            seconds = perf_counter() - started
            fields["status"] = answer.status
            fields["duration_ms"] = round(seconds * 1000, 1)
            event = fields.setdefault("event", "request")
            self._metrics.count(event, fields.get("outcome", ""), answer.status, seconds)
            logs.close(fields, answer.status)

    async def _answer(self, scope: Scope, receive: Receive, answer: "Answer") -> None:
        limit = asyncio.timeout(ANSWER_SECONDS)
        try:
            _judge_head(scope)
            async with limit:
                await self._app(scope, receive, answer)
        except ClientDisconnect:
            # Nobody is there to answer, or the protocol has done it; whatever was under way goes on to its end.
            refused = scope.get(REFUSED, {"status": 499, "reason": "client_disconnect"})
            answer.status = refused["status"]
            logs.note(**refused)
        except HTTPException as error:
            await answer.problem(_refusal(error))
        except ServiceError as error:
            await answer.problem(error)
        except Exception as error:  # noqa: BLE001  # The last line of defence: loud in the log, silent outside.
            if limit.expired():
                await answer.problem(Unavailable("deadline"))
                return
            logs.bug(error)
            await answer.problem(error)


class Answer:
    """`send` with the headers that every answer carries; remembers the status for the log."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        # 0 until an answer has begun.
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
            message["headers"] += [
                (b"cache-control", b"no-store"),
                (b"x-request-id", self.request_id.encode()),
            ]
        await self._send(message)

    async def problem(self, error: Exception) -> None:
        """Answer for an error, unless an answer has begun already."""
        if isinstance(error, ServiceError):
            logs.note(reason=error.reason)
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


def _judge_head(scope: Scope) -> None:
    """What the HTTP parser lets through and nothing behind us should meet."""
    headers = scope["headers"]
    if len(headers) > HEAD_FIELDS or sum(map(len, chain.from_iterable(headers))) > HEAD_BYTES:
        raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", headers=CLOSE)
    if len(headers_named(scope, b"host")) != 1:
        raise Refusal(HTTPStatus.BAD_REQUEST, "host", headers=CLOSE)
    if not scope["path"].isprintable():
        # The router's pattern would forgive a line end behind a path.
        raise Refusal(HTTPStatus.NOT_FOUND, "path", headers=CLOSE)


def _refusal(error: HTTPException) -> Refusal:
    """Starlette's router speaks of paths and methods only."""
    headers = [(name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()]
    status = HTTPStatus(error.status_code)
    reason = "method" if status == HTTPStatus.METHOD_NOT_ALLOWED else "path"
    return Refusal(status, reason, headers=headers + CLOSE)
