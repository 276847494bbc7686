"""What the service logs during a test, line by line."""

import io
import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app import log
from app.log import RateLimit
from app.log_format import Format

_PAIR = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|[^ "=]*)(?: |$)')


class CapturedLog:
    """A stream that keeps what is written to it."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        self.stream = io.TextIOWrapper(self._bytes, encoding="utf-8", write_through=True)

    @property
    def text(self) -> str:
        return self._bytes.getvalue().decode()

    @property
    def lines(self) -> list[str]:
        """The lines, split at everything that Python takes for the end of one."""
        return self.text.splitlines()

    @property
    def fields(self) -> dict[str, str]:
        """The fields of the only line, which is logfmt."""
        (line,) = self.lines
        assert "".join(match[0] for match in _PAIR.finditer(line)) == line, f"this is not logfmt: {line}"
        return {key: value.strip('"') for key, value in _PAIR.findall(line)}


Configure = Callable[..., CapturedLog]


@contextmanager
def capture_log() -> Iterator[Configure]:
    """Let log.configure write to a stream of the test's own, where no refusal is summed up; restore it afterwards."""
    root = logging.getLogger()
    loggers = [root, *(logging.getLogger(name) for name in ("httpx", "httpcore", "psycopg", "asyncio"))]
    before, levels = log._output, [logger.level for logger in loggers]
    # Not pytest's own handlers, which come and go with each phase of a test.
    handlers = [handler for handler in root.handlers if isinstance(handler, log._LibraryHandler)]
    refusals, log._refusals = log._refusals, RateLimit(sys.maxsize, log._report_refusals)
    # Refusals of an earlier test are summed up a second later, which may be now.
    refusals._lines.clear()

    def start(log_format: Format = "logfmt", level: str = "info") -> CapturedLog:
        captured = CapturedLog()
        log.configure(log_format, level, stream=captured.stream)
        return captured

    try:
        yield start
    finally:
        log._output = before
        log._refusals = refusals
        root.handlers[:] = handlers
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
