"""What the middleware gives every request: an id, a bounded head, one closing line, a fixed answer to a bug."""

import re

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import InvalidRequest, ServiceError, Unavailable
from app.http.middleware import RequestMiddleware
from app.metrics import Metrics
from tests.support import asgi
from tests.support.asgi import Headers, Log, ask

pytestmark = pytest.mark.anyio


def asking(app: ASGIApp) -> RequestMiddleware:
    return RequestMiddleware(app, Metrics({}))


async def ok(_: Scope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


GIVEN_IDS = {
    "a UUID": (b"0b0f6f6e-5b0c-4b0e-9f5e-0a4f9a3d8c11", True),
    "20 characters": (b"a" * 20, True),
    "200 characters": (b"a" * 200, True),
    "every kind of character": (b"azAZ09+/=-" * 2, True),
    "19 characters": (b"a" * 19, False),
    "201 characters": (b"a" * 201, False),
    "a blank": (b"a" * 20 + b" ", False),
    "a line end": (b"a" * 20 + b"\n", False),
    "a forged field": (b"a" * 20 + b" level=error", False),
    "a quote": (b"a" * 20 + b'"', False),
    "not ASCII": (b"a" * 20 + b"\xe9", False),
    "empty": (b"", False),
}


@pytest.mark.parametrize(("given", "kept"), GIVEN_IDS.values(), ids=GIVEN_IDS.keys())
@pytest.mark.parametrize("path", ["/healthz", "/nowhere"])
async def test_request_has_one_id(app: ASGIApp, log: Log, path: str, given: bytes, *, kept: bool) -> None:
    """The router's if it is well-formed, else a new one; the same in the answer and in the line."""
    answer = await ask(app, [*asgi.HOST, (b"x-request-id", given)], method="GET", path=path)

    known = answer.header(b"x-request-id") or b""
    assert (known == given) == kept
    assert re.fullmatch(rb"[A-Za-z0-9+/=-]{20,200}", known)
    assert log.line()["request_id"] == known.decode()


async def test_two_ids_count_as_none(app: ASGIApp, log: Log) -> None:
    """There is no telling which one the router logged."""
    twice = [(b"x-request-id", b"a" * 20), (b"x-request-id", b"b" * 20)]

    known = (await ask(app, asgi.HOST + twice, method="GET", path="/healthz")).header(b"x-request-id")

    assert known not in (b"a" * 20, b"b" * 20)
    assert log.line()["request_id"].encode() == known


def head_of(size: int) -> Headers:
    """Headers of exactly so many bytes."""
    taken = sum(len(name) + len(value) for name, value in asgi.HOST)
    return [*asgi.HOST, (b"x", b"y" * (size - taken - 1))]


HEADS: dict[str, tuple[Headers, str | None]] = {
    "one header of 8 KB": ([*asgi.HOST, (b"x", b"y" * 8192)], None),
    "32 KiB": (head_of(32_768), None),
    "a byte more": (head_of(32_769), "head_too_large"),
    "2 MB": (head_of(2_000_000), "head_too_large"),
    "100 headers": (asgi.HOST + [(b"x", b"canary")] * 99, None),
    "101 headers": (asgi.HOST + [(b"x", b"canary")] * 100, "head_too_large"),
    "no Host": ([], "host"),
    "two Hosts": (asgi.HOST * 2, "host"),
}


@pytest.mark.parametrize(("headers", "reason"), HEADS.values(), ids=HEADS.keys())
async def test_head_has_one_host_and_a_size(app: ASGIApp, log: Log, headers: Headers, reason: str | None) -> None:
    """Refused before the path is looked at, on a connection that is closed."""
    answer = await ask(app, headers, method="GET", path="/healthz" if reason is None else "/nowhere")

    line = log.line()
    if reason is None:
        assert answer.status == 200
    else:
        asgi.assert_refused(answer, line, 431 if reason == "head_too_large" else 400, reason)
        assert answer.header(b"connection") == b"close"


async def test_client_that_disconnects_is_one_info_line(app: ASGIApp, log: Log) -> None:
    answer = await ask(app, asgi.delivery(b"{}"), b"{", then="leave")

    line = log.line()
    assert (answer.status, line["status"], line["reason"], line["level"]) == (0, 499, "client_disconnect", "info")


async def test_other_headers_are_not_logged(app: ASGIApp, log: Log) -> None:
    """Query, cookies, forwarded addresses, user agent."""
    names = [b"x-forwarded-proto", b"x-forwarded-host", b"forwarded", b"cookie", b"user-agent", b"referer"]
    chatter = [(b"x-forwarded-for", b'203.0.113.77, canary"at=critical'), *((name, b"canary") for name in names)]

    answer = await ask(app, asgi.HOST + asgi.JSON + chatter, b"canary", query=b"token=canary")

    line = log.line()
    asgi.assert_refused(answer, line, 400, "headers")
    assert set(line) == {"timestamp", "level", "event", "status", "reason", "request_id", "duration_ms"}


UNEXPECTED = [
    RuntimeError("canary\ncanary"),
    KeyError("canary"),
    UnicodeDecodeError("utf-8", b"canary", 0, 1, "canary"),
    RecursionError("canary"),
    MemoryError("canary"),
    ConnectionResetError(104, "canary"),
    TimeoutError(110, "canary"),
    ExceptionGroup("canary", [ValueError("canary")]),
]


@pytest.mark.parametrize("error", UNEXPECTED, ids=lambda error: type(error).__name__)
async def test_unexpected_exception_is_a_500_and_a_line_with_its_place(log: Log, error: Exception) -> None:
    """The log has class, place and request id; the caller has a fixed body; the message is in neither."""

    async def fail(_: Scope, __: Receive, ___: Send) -> None:
        raise error

    answer = await ask(asking(fail), asgi.HOST)

    bug, closing = log.lines()
    asgi.assert_refused(answer, closing | {"reason": "bug"}, 500, "bug")
    assert (bug["event"], bug["error"], bug["level"]) == ("bug", type(error).__name__, "error")
    assert re.fullmatch(r"test_middleware\.py:\d+ app\.http\.middleware:_answer:\d+", bug["place"])
    assert bug["request_id"] == closing["request_id"]
    assert "canary" not in str(bug)


async def test_failure_after_the_answer_is_logged(log: Log) -> None:
    """The status in the line is the one that the caller got."""

    async def fail_late(scope: Scope, receive: Receive, send: Send) -> None:
        await ok(scope, receive, send)
        raise RuntimeError("canary")

    answer = await ask(asking(fail_late), asgi.HOST)

    bug, closing = log.lines()
    assert (answer.status, answer.body, closing["status"], bug["error"]) == (200, b"ok", 200, "RuntimeError")


async def test_answer_must_not_be_cached(log: Log) -> None:
    """A good one neither."""
    answer = await ask(asking(ok), asgi.HOST)

    assert (answer.header(b"cache-control"), log.line()["status"]) == (b"no-store", 200)


@pytest.mark.parametrize(
    ("error", "level"), [(InvalidRequest("json"), "info"), (Unavailable("deadline"), "warning")], ids=str
)
async def test_line_is_a_warning_if_we_could_not_serve(log: Log, error: ServiceError, level: str) -> None:
    """A stranger's mistakes are information."""

    async def refuse(_: Scope, __: Receive, ___: Send) -> None:
        raise error

    await ask(asking(refuse), asgi.HOST)

    line = log.line()
    assert (line["level"], line["reason"], line["event"]) == (level, error.reason, "request")
