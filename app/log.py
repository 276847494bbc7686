"""The log: one closing line per request on stdout, in the format of the settings, and nothing personal in it.

What a request learns on its way is noted in the fields of its closing line (`bind`, `timed`); a flight that
runs in a task of its own notes into the line of the request that started it.
"""

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from time import monotonic, perf_counter, time_ns
from types import TracebackType
from typing import Any, TextIO

from app.log_format import Fields, Format, renderer

# So many lines a second may say that a request was refused for one reason; the rest of that second is one line.
REFUSAL_LINES = 10


@dataclass(slots=True)
class _Second:
    """The refusals of one reason since `began`: how many have a line, and how many only a place in the sum."""

    began: float
    written: int = 0
    summed: int = 0


_seconds: dict[str, _Second] = {}
_fields: ContextVar[Fields | None] = ContextVar("fields", default=None)

_LEVELS = {number: name.lower() for name, number in logging.getLevelNamesMapping().items() if name != "WARN"}


@dataclass(frozen=True, slots=True)
class _Output:
    """Where lines go, in which form, and from which level on."""

    stream: TextIO
    render: Callable[[Fields], bytes]
    threshold: int

    def write(self, level: int, event: str, fields: Mapping[str, Any]) -> None:
        if level < self.threshold:
            return
        line = {"timestamp": _stamp(), "level": _LEVELS.get(level, "info"), "event": event, **fields}
        # One write for one line, so that those of two processes on one pipe do not mix; past the buffer, which would
        # keep what could not be written, and fail whoever flushes it next.
        unbuffered = getattr(self.stream.buffer, "raw", self.stream.buffer)
        try:  # noqa: SIM105  # `suppress` takes longer than the write.
            unbuffered.write(self.render(line) + b"\n")
        except OSError:  # A reader that is gone or a disk that is full costs the line, never an answer.
            pass


def _stamp() -> str:
    second, nanoseconds = divmod(time_ns(), 1_000_000_000)
    return f"{_second(second)}.{nanoseconds // 1000:06}Z"


@lru_cache(maxsize=1)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def configure(log_format: Format, level: str, *, stream: TextIO = sys.stdout) -> None:
    """Send our lines and everybody else's log records to one stream, in one format."""
    global _output  # noqa: PLW0603  # The log is the process's, as the standard library's is.
    threshold = logging.getLevelNamesMapping()[level.upper()]
    _output = _Output(stream, renderer(log_format, colors=stream.isatty()), threshold)
    logging.basicConfig(handlers=[_Foreign()], level=threshold, force=True)
    for chatty in ("httpx", "httpcore", "psycopg", "asyncio"):
        # httpx prints URLs at INFO.
        logging.getLogger(chatty).setLevel(max(threshold, logging.WARNING))


def start_request(request_id: str) -> Fields:
    """Start the line of this request; everything noted from here on lands in the returned fields."""
    fields: Fields = {"request_id": request_id}
    _fields.set(fields)
    return fields


def bind(**fields: Any) -> None:
    """Add fields to the closing line of the request under way, if there is one."""
    line = _fields.get()
    if line is not None:
        line.update(fields)


def finish_request(fields: Fields, status: int) -> None:
    """Write the closing line of a request.

    Thousands of equal refusals a second would hide every other line, so those are summed up. What was accepted, and
    what failed on our side, always has its line.
    """
    if 400 <= status < 500 and "reason" in fields and not _may_be_written(fields["reason"]):  # noqa: PLR2004  # HTTP's.
        return
    level = logging.INFO if status < 500 else logging.WARNING  # noqa: PLR2004  # HTTP's own number.
    _output.write(level, fields.pop("event", "request"), fields)


def sum_up() -> None:
    """Say how many refusals had no line of their own."""
    for reason in list(_seconds):
        _sum_up(reason)


def _may_be_written(reason: str) -> bool:
    now = monotonic()
    second = _seconds.get(reason)
    if second is None or now - second.began >= 1:
        _sum_up(reason)
        second = _seconds[reason] = _Second(now)
    if second.written < REFUSAL_LINES:
        second.written += 1
        return True
    if not second.summed:
        asyncio.get_running_loop().call_later(second.began + 1 - now, _sum_up, reason)
    second.summed += 1
    return False


def _sum_up(reason: str) -> None:
    second = _seconds.pop(reason, None)
    if second is not None and second.summed:
        info("refusals", reason=reason, count=second.summed)


def info(event: str, **fields: Any) -> None:
    """A line about the process, not about a request."""
    _output.write(logging.INFO, event, fields)


def warning(event: str, **fields: Any) -> None:
    """A line for what may go wrong later."""
    _output.write(logging.WARNING, event, fields)


def error(event: str, **fields: Any) -> None:
    """A line for what a person has to mend."""
    _output.write(logging.ERROR, event, fields)


def exception(error: BaseException) -> None:
    """A line for what nobody thought of: the class and the place, never the message, which may quote a row."""
    request_id = (_fields.get() or {}).get("request_id")
    place = _place(error.__traceback__)
    _output.write(logging.ERROR, "bug", {"error": type(error).__name__, "place": place, "request_id": request_id})


class timed:  # noqa: N801  # Used like a function: `with timed("db_ms")`.
    """Adds the milliseconds of its block to a field of the closing line."""

    __slots__ = ("_key", "_started")

    def __init__(self, key: str) -> None:
        self._key = key

    def __enter__(self) -> None:
        self._started = perf_counter()

    def __exit__(self, *_: object) -> None:
        line = _fields.get()
        if line is not None:
            spent = (perf_counter() - self._started) * 1000
            line[self._key] = round(line.get(self._key, 0.0) + spent, 1)


def _place(traceback: TracebackType | None) -> str:
    if traceback is None:
        return "unknown"
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f"{Path(traceback.tb_frame.f_code.co_filename).name}:{traceback.tb_lineno}"


class _Foreign(logging.Handler):
    """Other people's records: their text only where it is known to be harmless.

    psycopg's texts name hosts, users and values; an exception's message may quote anything.
    """

    def emit(self, record: logging.LogRecord) -> None:
        harmless = record.name.startswith("uvicorn") and not record.exc_info
        fields: Fields = {}
        if record.exc_info and record.exc_info[1] is not None:
            fields = {"error": type(record.exc_info[1]).__name__, "place": _place(record.exc_info[2])}
        if record.name == "psycopg.pool" and (reason := getattr(record, "reason", None)):
            fields["reason"] = reason  # The words of app.database, not the pool's own.
        _output.write(record.levelno, record.getMessage() if harmless else record.name, fields)


_output = _Output(sys.stdout, renderer("logfmt", colors=False), logging.INFO)
