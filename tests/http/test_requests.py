"""Checks before a body is parsed: path, method, content type, size and time, on either endpoint."""

import pytest
from starlette.types import ASGIApp

from tests.support import asgi
from tests.support.asgi import Headers, Log, ask

pytestmark = pytest.mark.anyio


ROUTES = [
    ("/webhooks/clerk", b"POST"),
    ("/ensure-user", b"POST"),
    ("/readyz", b"GET, HEAD"),
    ("/metrics", b"GET, HEAD"),
]


@pytest.mark.parametrize(("path", "allowed"), ROUTES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "FOO", "post"])
async def test_another_method_is_405(app: ASGIApp, log: Log, path: str, allowed: bytes, method: str) -> None:
    """With the allowed methods, before headers or body are looked at."""
    if method.encode() in allowed.split(b", "):
        return
    answer = await ask(app, asgi.HOST, b"canary", method=method, path=path)

    asgi.assert_refused(answer, log.line(), 405, "method")
    assert sorted((answer.header(b"allow") or b"").split(b", ")) == allowed.split(b", ")
    assert answer.pieces_read == 0


ELSEWHERE = {
    "a slash behind": "/webhooks/clerk/",
    "two slashes": "//webhooks/clerk",
    "dots": "/a/../webhooks/clerk",
    "a parameter": "/webhooks/clerk;x",
    "CR LF": "/webhooks/clerk\r\ncanary",
    "NUL": "/webhooks/clerk\0canary",
    "not text": "/webhooks/clerk\udcffcanary",
    "a line end": "/webhooks/clerk\n",
    "capitals": "/Webhooks/Clerk",
    "the root": "/",
    "none": "",
    "another ensure-user": "/ensure-user/canary",
}


@pytest.mark.parametrize("path", ELSEWHERE.values(), ids=ELSEWHERE.keys())
async def test_another_path_is_404(app: ASGIApp, log: Log, path: str) -> None:
    """Never a redirect, which would name the host that the request claims; the path is not logged."""
    answer = await ask(app, [(b"host", b"canary.example"), *asgi.JSON], b"{}", path=path)

    asgi.assert_refused(answer, log.line(), 404, "path")


def declared(length: int) -> Headers:
    return [(b"content-length", str(length).encode())]


def typed(content_type: bytes) -> Headers:
    return [(b"content-type", content_type)]


UNREAD: dict[str, tuple[Headers, int, str]] = {
    "text": (typed(b"text/plain"), 415, "content_type"),
    "form": (typed(b"application/x-www-form-urlencoded"), 415, "content_type"),
    "no type": ([], 415, "content_type"),
    "an empty type": (typed(b""), 415, "content_type"),
    "two types": (asgi.JSON * 2, 415, "content_type"),
    "more than JSON": (typed(b"application/json+canary"), 415, "content_type"),
    "another charset": (typed(b"application/json; charset=latin-1"), 415, "content_type"),
    "half a quote": (typed(b'application/json; charset="utf-8'), 415, "content_type"),
    "a third part": (typed(b"application/json; charset=utf-8; canary=1"), 415, "content_type"),
    "gzip": ([*asgi.JSON, (b"content-encoding", b"gzip")], 415, "content_type"),
    "identity": ([*asgi.JSON, (b"content-encoding", b"identity")], 415, "content_type"),
    "an empty encoding": ([*asgi.JSON, (b"content-encoding", b"")], 415, "content_type"),
    "10 MB announced": (asgi.JSON + declared(10_000_000), 413, "too_large"),
    "a byte too many": (asgi.JSON + declared(262_145), 413, "too_large"),
    "a length without end": (asgi.JSON + declared(10**40), 413, "too_large"),
    "less than nothing": (asgi.JSON + declared(-1), 413, "too_large"),
}


@pytest.mark.parametrize("path", ["/webhooks/clerk", "/ensure-user"])
@pytest.mark.parametrize(("headers", "status", "reason"), UNREAD.values(), ids=UNREAD.keys())
async def test_body_is_not_read_if_the_head_is_refused(
    app: ASGIApp, log: Log, path: str, headers: Headers, status: int, reason: str
) -> None:
    """415 and 413 before a byte of the body, on a connection that is closed."""
    answer = await ask(app, asgi.HOST + asgi.BEARER + headers, b"canary", path=path)

    asgi.assert_refused(answer, log.line(), status, reason)
    assert (answer.pieces_read, answer.header(b"connection")) == (0, b"close")


SPELLINGS = [
    b"application/json",
    b'Application/JSON ; charset="UTF-8"',
    b"application/json;charset=utf-8",
    b" application/json ",
]


@pytest.mark.parametrize("spelling", SPELLINGS, ids=ascii)
async def test_content_type_may_be_spelt_as_the_standard_allows(app: ASGIApp, log: Log, spelling: bytes) -> None:
    """Media types know no case, and the charset may be said."""
    answer = await ask(app, asgi.HOST + typed(spelling), b"{}")

    asgi.assert_refused(answer, log.line(), 400, "headers")


@pytest.mark.parametrize("path", ["/webhooks/clerk", "/ensure-user"])
async def test_body_is_read_up_to_its_limit(app: ASGIApp, log: Log, path: str) -> None:
    """256 KiB in any pieces; the first byte above ends it, even if more is to come."""
    headers = asgi.delivery(b" " * 262_144) + asgi.BEARER

    whole = await ask(app, headers, *[b" " * 65_536] * 4, path=path)
    asgi.assert_refused(whole, log.line(), 422, "json")
    larger = await ask(app, headers, *[b" " * 65_536] * 4, b" ", *[b" " * 65_536] * 9, path=path)

    asgi.assert_refused(larger, log.line(), 413, "too_large")
    assert larger.pieces_read == 5


async def test_cap_holds_even_if_a_smaller_length_was_announced(app: ASGIApp, log: Log) -> None:
    """No sender is believed."""
    answer = await ask(app, asgi.HOST + asgi.JSON + declared(10), b" " * 300_000)

    asgi.assert_refused(answer, log.line(), 413, "too_large")
