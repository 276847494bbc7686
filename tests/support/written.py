"""What the service logs during a test, line by line."""

import io
import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app import log
from app.log_format import Format

_PAIR = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|[^ "=]*)(?: |$)')


class Written:
    """A stream that remembers what was written to it."""

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


Configure = Callable[..., Written]


@contextmanager
def capturing() -> Iterator[Configure]:
    """log.configure on a stream of one's own, where no refusal is summed up; afterwards all is as before."""
    root = logging.getLogger()
    loggers = [root, *(logging.getLogger(name) for name in ("httpx", "httpcore", "psycopg", "asyncio"))]
    before, levels = log._output, [logger.level for logger in loggers]
    # Not pytest's own handlers, which come and go with each phase of a test.
    handlers = [handler for handler in root.handlers if isinstance(handler, log._Foreign)]
    lines, log.REFUSAL_LINES = log.REFUSAL_LINES, sys.maxsize
    # What an earlier test had refused is summed up a second later, which may be now.
    log._seconds.clear()

    def start(log_format: Format = "logfmt", level: str = "info") -> Written:
        written = Written()
        log.configure(log_format, level, stream=written.stream)
        return written

    try:
        yield start
    finally:
        log._output = before
        log.REFUSAL_LINES = lines
        root.handlers[:] = handlers
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
