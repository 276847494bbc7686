"""A rate limit for log lines that a stranger can cause by the thousand."""

import asyncio
from collections.abc import Callable


class RateLimit:
    """Lets some lines a second pass for each reason, counts the others, and reports their number when it is over."""

    def __init__(self, lines_a_second: int, report: Callable[[str, int], None]) -> None:
        self._lines_a_second = lines_a_second
        self._report = report
        self._lines: dict[str, int] = {}

    def allows(self, reason: str) -> bool:
        """Count a line, and tell whether it may be written."""
        lines = self._lines[reason] = self._lines.get(reason, 0) + 1
        if lines == 1:
            asyncio.get_running_loop().call_later(1, self._end_second, reason)
        return lines <= self._lines_a_second

    def flush(self) -> None:
        """Report at once, because the process ends."""
        for reason in list(self._lines):
            self._end_second(reason)

    def _end_second(self, reason: str) -> None:
        suppressed = self._lines.pop(reason, 0) - self._lines_a_second
        if suppressed > 0:
            self._report(reason, suppressed)
