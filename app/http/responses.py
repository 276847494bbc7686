"""The table from our errors to HTTP, as application/problem+json (RFC 9457); no value of the request in it."""

from collections.abc import Awaitable, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
from starlette.types import Send

from app.errors import (
    AssistantUnavailable,
    DatabaseUnavailable,
    DeadlineExceeded,
    Fault,
    InvalidRequest,
    ServiceError,
    TooManyRequests,
    Unavailable,
)
from app.reasons import REASONS

Headers = list[tuple[bytes, bytes]]

# An answer sent before the body was read leaves bytes in the connection that must not be taken for a request.
CLOSE: Headers = [(b"connection", b"close")]

# Where the scope says that the caller is let in: by a token, or by a signature over the body.
ADMITTED = "app.admitted"
# A body may have hundreds of faults; so many are listed.
MAX_FAULTS = 20


class HttpError(ServiceError):
    """What HTTP itself settles: a path, a method, a size, a token."""

    def __init__(self, status: HTTPStatus, reason: str, *, headers: Headers | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers or []


class Problem(NamedTuple):
    """A problem document; `code` and `faults` are for callers who are let in."""

    status: int
    title: str
    detail: str
    headers: Headers
    code: str
    faults: Sequence[Fault] = ()

    def body(self, request_id: str, *, is_admitted: bool) -> bytes:
        """As JSON; a stranger learns no more than the status says."""
        content: dict[str, Any] = {"type": "about:blank", "title": self.title, "status": self.status}
        content |= {"detail": self.detail, "request_id": request_id}
        if is_admitted:
            content["code"] = self.code
        if is_admitted and self.faults:
            content["errors"] = [_place(fault, self.code) for fault in self.faults[:MAX_FAULTS]]
        return orjson.dumps(content)


def _place(fault: Fault, reason: str) -> dict[str, str]:
    named = {"pointer": fault.pointer, "parameter": fault.parameter, "detail": fault.detail or REASONS[reason].meaning}
    return {name: text for name, text in named.items() if text is not None}


# The code of an exception that is not ours.
BUG = "bug"

# One sentence for each status: what the caller can do about it.
_DETAILS = {
    HTTPStatus.BAD_REQUEST: "The request's headers or signature are not acceptable.",
    HTTPStatus.UNAUTHORIZED: "A bearer token that counts here is needed.",
    HTTPStatus.NOT_FOUND: "There is nothing here.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This path takes another method; see the Allow header.",
    HTTPStatus.CONFLICT: "Another message has this id.",
    HTTPStatus.GONE: "This user was deleted.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "Send application/json without a content encoding.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The request's header is too large.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something unexpected happened; the log has the request id.",
}


def problem_of(error: Exception) -> Problem:
    """What to answer for an error; an exception that is not ours is a 500."""
    match error:
        case HttpError():
            explained = error.status in (
                HTTPStatus.FORBIDDEN,
                HTTPStatus.REQUEST_TIMEOUT,
                HTTPStatus.SERVICE_UNAVAILABLE,
            )
            detail = REASONS[error.reason].meaning if explained else None
            return _problem(error, detail=detail, headers=error.headers)
        case Unavailable():
            return _unavailable(error)
        case InvalidRequest():
            # Only callers who are let in get as far as this, so they may know which part cannot be used.
            return _problem(error, detail=_invalid(error))
        case TooManyRequests():
            wait = (b"retry-after", b"%d" % error.retry_after)
            # The body, if there is one, was not read.
            return _problem(error, detail=REASONS[error.reason].meaning, headers=[wait, *CLOSE])
        case ServiceError():
            # What a conflict is about cannot be said for all of them.
            detail = REASONS[error.reason].meaning if error.status == HTTPStatus.CONFLICT else None
            return _problem(error, detail=detail)
        case _:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            return Problem(status, status.phrase, _DETAILS[status], [], BUG)


def _problem(error: ServiceError, *, detail: str | None = None, headers: Headers | None = None) -> Problem:
    # A mounted application may raise any status.
    status = error.status
    detail = detail or _DETAILS.get(status, f"{status.phrase}.")
    return Problem(status, status.phrase, detail, headers or [], error.reason, error.faults)


def _invalid(error: InvalidRequest) -> str:
    """What cannot be used, and of the first fault the place and the cause."""
    meaning = REASONS[error.reason].meaning
    for fault in error.faults:
        place = fault.pointer or fault.parameter
        return f"{meaning} {place}: {fault.detail}." if fault.detail else meaning
    return meaning


def _unavailable(error: Unavailable) -> Problem:
    match error:
        case DatabaseUnavailable():
            title, detail = "Service unavailable", "The database cannot be used at the moment; try again."
        case AssistantUnavailable() | DeadlineExceeded():
            title, detail = "Service initialization failed", "The user's assistant could not be made ready; try again."
        case _:
            title, detail = "Service unavailable", "Try again."
    return Problem(error.status, title, detail, [(b"retry-after", b"%d" % error.retry_after)], error.reason)


def last_response(problem: Problem, request_id: str, *, is_admitted: bool) -> bytes:
    """A problem as the connection itself sends it, after the status line."""
    body = problem.body(request_id, is_admitted=is_admitted)
    head = b"content-type: application/problem+json\r\ncache-control: no-store\r\nconnection: close\r\n"
    return head + b"x-request-id: %s\r\ncontent-length: %d\r\n\r\n" % (request_id.encode(), len(body)) + body


async def answer_nothing(send: Send) -> None:
    """Done, and there is nothing to say of it."""
    await send({"type": "http.response.start", "status": HTTPStatus.NO_CONTENT, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def answer_json(send: Send, status: int, content: Any, *, more: Headers | None = None) -> Awaitable[None]:
    """Send a JSON answer in two messages."""
    return answer_bytes(send, status, orjson.dumps(content), more=more)


async def answer_bytes(send: Send, status: int, body: bytes, *, more: Headers | None = None) -> None:
    """Send JSON that is written already."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *(more or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
