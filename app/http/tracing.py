"""The caller's trace: W3C's `traceparent`, noted in the log line and passed on to Backboard as it came.

The service has no span of its own, so it hands the caller's on unchanged, as the recommendation allows.
"""

import re
from contextvars import ContextVar

from starlette.types import Scope

from app.http.requests import headers_named

# W3C Trace Context, 3.2: version, trace id, parent id, flags, in lower-case hex; later versions may add more behind.
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)


def take_trace(scope: Scope) -> str | None:
    """Keep the trace of a request for the calls that it causes; returns its id, None without a well-formed one."""
    values = headers_named(scope, b"traceparent")
    match = _TRACEPARENT.fullmatch(values[0]) if len(values) == 1 else None
    _traceparent.set(match[0].decode() if match else None)
    return match[1].decode() if match else None


def trace_headers() -> dict[str, str]:
    """The header for a call on behalf of the current request; none without a trace."""
    value = _traceparent.get()
    return {} if value is None else {"traceparent": value}
