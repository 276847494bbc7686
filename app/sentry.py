"""Sentry: what the log says at error becomes an event there, where SENTRY_DSN is set.

An event has what tells one fault from another, and nothing about a person: no Clerk id, no address, no local variable,
no text of an exception. The package is imported only here, and only then.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from app import log

# What an event may tell; every other field of the line stays in the log.
TAGS = ("reason", "error", "place", "sqlstate", "request_id", "trace_id", "process")
CLOSE_SECONDS = 2.0


@contextmanager
def reporting(dsn: str | None, *, release: str) -> Iterator[None]:
    """Report error lines to Sentry meanwhile; nothing without a DSN. A Sentry that is down costs its events only."""
    if dsn is None:
        yield
        return
    from sentry_sdk import Client  # noqa: PLC0415  # Optional, and half a second to import.

    for name in ("sentry_sdk.errors", "urllib3"):
        # A line about an event that could not be sent would be an event again.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # Without its integrations it hooks into nothing, and sends what it is given.
    client = Client(
        dsn=dsn,
        release=release,
        default_integrations=False,
        auto_enabling_integrations=False,
        include_local_variables=False,
        server_name="",
    )

    def report(event: str, fields: Mapping[str, Any]) -> None:
        tags = {name: str(fields[name]) for name in TAGS if fields.get(name) is not None}
        # Lines of one kind are one issue.
        kind = [event, *(tags[name] for name in ("reason", "error", "place") if name in tags)]
        client.capture_event({"level": "error", "message": " ".join(kind), "fingerprint": kind, "tags": tags})

    log.report_errors(report)
    try:
        yield
    finally:
        log.report_errors(None)
        client.close(timeout=CLOSE_SECONDS)
