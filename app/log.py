"""The log: one closing line per request on stdout, in the format of the settings, without personal data.

`bind` and `timed` add fields to the closing line of the current request. A task inherits its context, so work that
goes on in a task of its own adds to the line of the request that started it.
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
from time import perf_counter, time_ns
from traceback import walk_tb
from types import TracebackType
from typing import Any, NamedTuple, TextIO

from app.log_format import Fields, Format, renderer

# Of one reason for a 4xx; the others of that second are counted in one line.
REFUSALS_A_SECOND = 10

# Gets the event and the fields of a line.
Reporter = Callable[[str, Mapping[str, Any]], None]

_reporter: Reporter | None = None
_fields: ContextVar[Fields | None] = ContextVar("fields", default=None)

_LEVELS = {number: name.lower() for name, number in logging.getLevelNamesMapping().items() if name != "WARN"}


@dataclass(frozen=True, slots=True)
class _Output:
    """Where lines go, in which format, and from which level on."""

    stream: TextIO
    render: Callable[[Fields], bytes]
    threshold: int

    def write(self, level: int, event: str, fields: Mapping[str, Any]) -> None:
        if level < self.threshold:
            return
        if level >= logging.ERROR and _reporter is not None:
            _reporter(event, fields)
        line = {"timestamp": _stamp(), "level": _LEVELS.get(level, "info"), **fields, "event": event}
        # One write a line, so that the lines of two processes on one pipe do not mix. It bypasses the buffer, which
        # would keep what could not be written and fail at its next flush.
        unbuffered = getattr(self.stream.buffer, "raw", self.stream.buffer)
        try:  # noqa: SIM105  # `suppress` takes longer than the write.
            unbuffered.write(self.render(line) + b"\n")
        except OSError:  # A closed pipe or a full disk costs the line, never the answer.
            pass


def _stamp() -> str:
    second, nanoseconds = divmod(time_ns(), 1_000_000_000)
    return f"{_second(second)}.{nanoseconds // 1000:06}Z"


@lru_cache(maxsize=1)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def configure(log_format: Format, level: str, *, stream: TextIO = sys.stdout) -> None:
    """Send our lines and the records of libraries to one stream, in one format."""
    global _output  # noqa: PLW0603  # The log is the process's, as the standard library's is.
    threshold = logging.getLevelNamesMapping()[level.upper()]
    _output = _Output(stream, renderer(log_format, colors=stream.isatty()), threshold)
    logging.basicConfig(handlers=[_LibraryHandler()], level=threshold, force=True)
    for chatty in ("httpx", "httpcore", "psycopg", "asyncio"):
        # httpx prints URLs at INFO.
        logging.getLogger(chatty).setLevel(max(threshold, logging.WARNING))


def report_errors(reporter: Reporter | None) -> None:
    """Tell another program of each line at error too, or of none any more."""
    global _reporter  # noqa: PLW0603  # As the output, it is the process's.
    _reporter = reporter


def start_request(request_id: str) -> Fields:
    """Start the closing line of a request; `bind` adds to the fields that are returned."""
    fields: Fields = {"request_id": request_id}
    _fields.set(fields)
    return fields


def bind(**fields: Any) -> None:
    """Add fields to the closing line of the current request, if there is one."""
    line = _fields.get()
    if line is not None:
        line.update(fields)


def finish_request(fields: Fields, status: int) -> None:
    """Write the closing line of a request.

    4xx are rate-limited by reason and fault, since thousands of refusals a second would hide all other lines. A
    success and an error of ours always have their line.
    """
    is_refusal = 400 <= status < 500 and "reason" in fields  # noqa: PLR2004  # HTTP's.
    # Forged tokens of a stranger must not hide that of a user who has waited too long.
    if is_refusal and not _refusals.allows(Refusal(fields["reason"], fields.get("fault"))):
        return
    level = logging.INFO if status < 500 else logging.WARNING  # noqa: PLR2004  # HTTP's own number.
    _output.write(level, fields.get("event", "request"), fields)


def flush_refusals() -> None:
    """Write the counts of the lines that the rate limit has suppressed."""
    _refusals.flush()


class Refusal(NamedTuple):
    """A kind of refusal; `fault` tells those of session tokens apart."""

    reason: str
    fault: str | None = None


def _report_refusals(refusal: Refusal, count: int) -> None:
    if refusal.fault is None:
        info("refusals", reason=refusal.reason, count=count)
    else:
        info("refusals", reason=refusal.reason, fault=refusal.fault, count=count)


def writes_debug() -> bool:
    """Whether lines for debugging are written, so that nothing has to be found out for them otherwise."""
    return _output.threshold <= logging.DEBUG


def debug(event: str, **fields: Any) -> None:
    """Write a line that only a developer reads."""
    _output.write(logging.DEBUG, event, fields)


def info(event: str, **fields: Any) -> None:
    """Write a line about the process, not about a request."""
    _output.write(logging.INFO, event, fields)


def warning(event: str, **fields: Any) -> None:
    """Write a line about what may fail later."""
    _output.write(logging.WARNING, event, fields)


def error(event: str, **fields: Any) -> None:
    """Write a line about what a person has to fix."""
    _output.write(logging.ERROR, event, fields)


def exception(error: BaseException) -> None:
    """Log an unexpected exception: its class and place, never its message, which may quote a row."""
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
    """Our own frames as `module:function:line`, the innermost first; before them the innermost of all, if not ours."""
    if traceback is None:
        return "unknown"
    frames = [(frame.f_code, frame.f_globals.get("__name__", ""), line) for frame, line in walk_tb(traceback)]
    own = [f"{module}:{code.co_name}:{line}" for code, module, line in frames if module.startswith("app.")]
    code, module, line = frames[-1]
    if not module.startswith("app."):
        own.append(f"{Path(code.co_filename).name}:{line}")
    return " ".join(reversed(own))


class RateLimit:
    """Lets some lines a second pass for each kind, and counts the others: a stranger can cause thousands."""

    def __init__(self, lines_a_second: int, report: Callable[[Refusal, int], None]) -> None:
        self._lines_a_second = lines_a_second
        self._report = report
        self._lines: dict[Refusal, int] = {}

    def allows(self, refusal: Refusal) -> bool:
        """Count a line, and tell whether it may be written."""
        lines = self._lines[refusal] = self._lines.get(refusal, 0) + 1
        if lines == 1:
            asyncio.get_running_loop().call_later(1, self._end_second, refusal)
        return lines <= self._lines_a_second

    def flush(self) -> None:
        """Report at once, because the process ends."""
        for refusal in list(self._lines):
            self._end_second(refusal)

    def _end_second(self, refusal: Refusal) -> None:
        suppressed = self._lines.pop(refusal, 0) - self._lines_a_second
        if suppressed > 0:
            self._report(refusal, suppressed)


class _LibraryHandler(logging.Handler):
    """Log records of libraries, with their text only where it is known to be harmless.

    psycopg's messages name hosts, users and values; an exception's message may quote anything.
    """

    def emit(self, record: logging.LogRecord) -> None:
        harmless = record.name.startswith("uvicorn") and not record.exc_info
        fields: Fields = {}
        if record.exc_info and record.exc_info[1] is not None:
            fields = {"error": type(record.exc_info[1]).__name__, "place": _place(record.exc_info[2])}
        if record.name == "psycopg.pool" and (reason := getattr(record, "reason", None)):
            fields["reason"] = reason  # From app.postgres.pool, a word of ours.
        _output.write(record.levelno, record.getMessage() if harmless else record.name, fields)


_output = _Output(sys.stdout, renderer("logfmt", colors=False), logging.INFO)
_refusals = RateLimit(REFUSALS_A_SECOND, _report_refusals)
