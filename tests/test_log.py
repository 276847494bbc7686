"""The closing line of a request, the records of libraries, and unexpected exceptions."""

import json
import logging
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import get_args

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app import log
from app.http.middleware import RequestMiddleware
from app.log_format import Format
from app.metrics import Metrics
from tests.support.log_capture import Configure, capture_log

FORMATS: tuple[Format, ...] = get_args(Format)
every_format = pytest.mark.parametrize("log_format", FORMATS)


@pytest.fixture
def configure() -> Iterator[Configure]:
    with capture_log() as start:
        yield start


def failing() -> Exception:
    """An exception with a traceback."""
    try:
        raise LookupError("canary\ncanary")  # noqa: TRY301  # A traceback is what this is for.
    except LookupError as error:
        return error


def test_bound_fields_are_in_the_closing_line(configure: Configure) -> None:
    """In the order in which a person reads them; times of one name add up."""
    written = configure()

    fields = log.start_request("a-request")
    log.bind(event="webhook", clerk_id="user_a", adopted=True)
    for _ in range(2):
        with log.timed("db_ms"):
            time.sleep(0.002)
    log.finish_request(fields | {"status": 200}, 200)

    assert list(written.fields) == [
        "timestamp",
        "level",
        "event",
        "status",
        "clerk_id",
        "request_id",
        "adopted",
        "db_ms",
    ]
    assert (written.fields["event"], written.fields["adopted"]) == ("webhook", "true")
    assert float(written.fields["db_ms"]) >= 4


def test_a_line_that_cannot_be_written_raises_nothing() -> None:
    """The disk is full, or the reader of the pipe is gone."""
    full = Path("/dev/full").open("w")  # noqa: SIM115  # Closing it fails, too.
    log.configure("logfmt", "info", stream=full)
    try:
        for _ in range(100):
            log.finish_request(log.start_request("x" * 200), 200)
    finally:
        log.configure("logfmt", "info")
        with suppress(OSError):
            full.close()


@every_format
@pytest.mark.parametrize("end", ["\r", "\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"], ids=ascii)
def test_a_librarys_message_cannot_end_a_line(log_format: Format, end: str, configure: Configure) -> None:
    """It goes through the standard library's logging, and comes out like our own."""
    written = configure(log_format)

    logging.getLogger("uvicorn.error").info("Started %s", f"here{end}level=error event=forged")

    assert len(written.lines) == 1
    assert re.fullmatch(r"[ -~]+", written.lines[0])
    assert "Started here" in written.lines[0]


@every_format
@pytest.mark.parametrize("name", ["psycopg.pool", "psycopg", "httpx", "asyncio", "some.library"])
def test_a_librarys_record_is_logged_without_its_text(name: str, log_format: Format, configure: Configure) -> None:
    """With its level and logger; the text names hosts, users, URLs and values."""
    written = configure(log_format)

    logging.getLogger(name).warning("error connecting in %r: %s", "pool", "canary", extra={"host": "canary"})

    assert len(written.lines) == 1
    assert name in written.text
    assert "warning" in written.text
    assert "canary" not in written.text


@pytest.mark.parametrize("name", ["httpx", "httpcore", "psycopg.pool", "asyncio"])
@pytest.mark.parametrize("level", ["debug", "info"])
def test_chatty_libraries_log_from_warning_on(name: str, level: str, configure: Configure) -> None:
    """At any LOG_LEVEL: httpx logs every URL at INFO."""
    written = configure(level=level)

    logging.getLogger(name).info("HTTP Request: GET canary")

    assert written.lines == []


@every_format
def test_a_bug_is_one_line_with_class_and_place(log_format: Format, configure: Configure) -> None:
    """Without its message, which may quote a row, and without its traceback."""
    written = configure(log_format)

    log.exception(failing())

    assert len(written.lines) == 1
    assert "LookupError" in written.text
    assert re.search(r"test_log\.py:\d+", written.text)
    assert "canary" not in written.text
    assert "Traceback" not in written.text


@every_format
@pytest.mark.parametrize("name", ["uvicorn.error", "asyncio"])
def test_a_librarys_exception_is_one_line(name: str, log_format: Format, configure: Configure) -> None:
    """The standard library would print the traceback as well."""
    written = configure(log_format)

    logging.getLogger(name).error("Exception in ASGI application: canary", exc_info=failing())

    assert len(written.lines) == 1
    assert "LookupError" in written.text
    assert re.search(r"test_log\.py:\d+", written.text)
    assert "canary" not in written.text


@pytest.mark.anyio
async def test_a_bug_has_the_id_of_its_request(configure: Configure) -> None:
    """So that it can be found from the answer."""
    written = configure("json")

    async def fail(_: Request) -> Response:
        raise failing()

    app = Starlette(routes=[Route("/", fail)], middleware=[Middleware(RequestMiddleware, metrics=Metrics({}))])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await client.get("/")

    bug, closing = (json.loads(line) for line in written.lines)
    assert (answer.status_code, bug["event"], closing["status"]) == (500, "bug", 500)
    assert closing["request_id"] == answer.headers["x-request-id"]
    assert bug.get("request_id") == closing["request_id"]
    assert "canary" not in written.text


def test_lines_below_the_level_are_not_written(configure: Configure) -> None:
    """Our own and those of libraries; a 5xx is a warning."""
    written = configure(level="warning")

    for status in (200, 404, 503):
        log.finish_request(log.start_request("a-request"), status)
    log.info("quiet")
    log.error("alarming")
    for level in (logging.INFO, logging.WARNING):
        logging.getLogger("uvicorn.error").log(level, "level %s", level)

    assert [re.findall(r"level=(\w+)", line)[0] for line in written.lines] == ["warning", "error", "warning"]
