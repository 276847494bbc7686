"""httptools' parser of requests, which ignores an Upgrade, as RFC 9110 7.8 allows.

httptools itself would take the body behind it for the next request.
"""

from collections.abc import Callable
from typing import Any, Self

import httptools


class RequestParser(httptools.HttpRequestParser):
    """Calls back to `protocol`; `renew` gives a parser that has read the last head as if it asked for no upgrade."""

    def __init__(self, protocol: Any, renew: Callable[[], Self]) -> None:
        super().__init__(protocol)
        self._renew = renew
        # As uvicorn's: a request behind one that says "close" does no harm to the answer before it.
        self.set_dangerous_leniencies(lenient_data_after_close=True)

    def feed_data(self, data: Any) -> None:
        """Read on, with whatever parser it takes; HttpParserError for what is no HTTP."""
        rest = self.feed(memoryview(data))
        # In a loop: one read may bring thousands of them.
        while rest is not None:
            rest = self._renew().feed(rest)

    def feed(self, data: memoryview) -> memoryview | None:
        """Read on; returns what stands behind a head that asks for an upgrade."""
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return data[upgrade.args[0] :]
        return None
