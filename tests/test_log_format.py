"""Our own log lines: whatever a value holds, its line is a single, short line of ASCII, dated in UTC."""

import json
import logging
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from app import log
from app.log_format import Format
from tests.support.log_capture import Configure, capture_log

FORMATS: tuple[Format, ...] = get_args(Format)
every_format = pytest.mark.parametrize("log_format", FORMATS)

# All characters at which some program ends a line, and what controls a terminal.
LINE_ENDS = [
    *("\r", "\n", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"),
    *("\0", "\x1b[2J", "\x7f", "\u202e", "\U0001f600", "\ud800"),
]
# A longer value is cut to this, dots included.
VALUE_CHARACTERS = 200


@pytest.fixture
def configure() -> Iterator[Configure]:
    with capture_log() as start:
        yield start


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine in another time zone than UTC."""
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@every_format
@pytest.mark.parametrize("end", LINE_ENDS, ids=ascii)
def test_a_value_cannot_end_a_line(log_format: Format, end: str, configure: Configure) -> None:
    """A line is one physical line of ASCII, without anything that controls a terminal."""
    written = configure(log_format)

    log.info("started", reason=f"a{end}level=error event=forged", parts=[end], raw=end.encode(errors="replace"))

    assert len(written.lines) == 1
    assert written.text.endswith("\n")
    assert re.fullmatch(r"[ -~]+", written.lines[0])


@pytest.mark.parametrize("forged", ['a" level=error b="', "a level=error", 'a\\" level=error b="', "a=b level=error"])
def test_a_value_cannot_forge_a_field(forged: str, configure: Configure) -> None:
    """Quotes, blanks and backslashes stay inside their value."""
    written = configure()

    log.info("started", reason=forged)

    assert written.fields["level"] == "info"
    assert set(written.fields) == {"timestamp", "level", "event", "reason"}


def test_a_blank_at_the_end_of_a_line_is_quoted(configure: Configure) -> None:
    """It could be lost otherwise."""
    written = configure()

    log.info("started", reason="ends ")

    assert written.text.endswith(' reason="ends "\n')


def test_a_json_line_is_one_object(configure: Configure) -> None:
    """Numbers stay numbers, and None is null."""
    written = configure("json")

    log.info("started", port=8000, db_ms=1.5, adopted=True, clerk_id=None, reason='a "b"')

    line = json.loads(written.text)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "event": "started",
        "port": 8000,
        "db_ms": 1.5,
        "adopted": True,
        "clerk_id": None,
        "reason": 'a "b"',
    }


@pytest.mark.parametrize("character", ["x", "\0", "\u00e9", "\U0001f600"], ids=ascii)
def test_a_long_value_is_cut_at_200_characters(character: str, configure: Configure) -> None:
    """As they are written, with the dots that say so."""
    written = configure("json")

    log.info("started", reason="begins " + character * 20_000)

    reason = json.loads(written.text)["reason"]
    assert len(reason) <= VALUE_CHARACTERS
    assert reason.startswith("begins ")
    assert reason.endswith("...")


def test_a_value_of_200_characters_is_not_cut(configure: Configure) -> None:
    written = configure()

    log.info("started", reason="x" * 200)

    assert written.fields["reason"] == "x" * 200


@every_format
@pytest.mark.usefixtures("tokyo")
def test_times_are_utc_whatever_the_machines_zone(log_format: Format, configure: Configure) -> None:
    """With a Z, in our lines and in those of libraries."""
    written = configure(log_format)

    log.info("started")
    logging.getLogger("uvicorn.error").info("Started")

    times = re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", written.text)
    assert len(times) == 2
    assert all(abs(datetime.fromisoformat(moment) - datetime.now(UTC)) < timedelta(minutes=1) for moment in times)
