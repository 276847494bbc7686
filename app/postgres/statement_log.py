"""With LOG_LEVEL=debug, a line for each statement: its name, its time and its rows, never a value."""

import re
from collections.abc import Sequence
from time import perf_counter

from app import log

# The header of a file in sql/queries; BEGIN, COMMIT and the like have none.
_NAME = re.compile(rb"-- ([a-z_]+):|([A-Z]+)")


def log_statements(texts: Sequence[bytes], rows: Sequence[int], began: float) -> None:
    """Write the lines of statements that left in one flush, `began` by perf_counter: they share its milliseconds."""
    milliseconds = round((perf_counter() - began) * 1000, 1)
    for text, number in zip(texts, rows, strict=True):
        match = _NAME.match(text)
        name = (match[1] or match[2]).decode() if match else "?"
        log.debug("statement", name=name, ms=milliseconds, rows=number)
