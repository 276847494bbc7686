"""Rows of the history and of users, written as the service would have written them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

Database = psycopg.Connection[dict[str, Any]]

# A day that is not today, whenever the tests run.
LONG_AGO = datetime(2025, 5, 3, 12, tzinfo=UTC)
RUNNING = (
    b"INSERT INTO processes (id, host, release, version, started_at, pools, breaker, lost, writes)"
    b" VALUES ('1', 'web.1', 'v7', '0.1.0', now(), '{}', 'closed', 0, 0)"
)


def deliver(database: Database, svix_id: str, *, minutes: float = 0, **columns: Any) -> None:
    """Write a row of the history, so many minutes old."""
    at = datetime.now(UTC) - timedelta(minutes=minutes)
    row = {"type": "user.created", "clerk_id": "user_a", "status": 200, "outcome": "exists", "tries": 1}
    row |= {"first_at": at, "last_at": at, "duration_ms": 1.5, "request_id": f"request-{svix_id}", "svix_id": svix_id}
    row |= columns
    names, values = ", ".join(row), ", ".join(f"%({name})s" for name in row)
    database.execute(f"INSERT INTO deliveries ({names}) VALUES ({values})".encode(), row)


def fail(database: Database, svix_id: str, reason: str, **columns: Any) -> None:
    deliver(database, svix_id, **{"status": 503, "outcome": None, "reason": reason} | columns)


def sign_up(database: Database, clerk_id: str = "user_a", **columns: Any) -> None:
    row = {"clerk_id": clerk_id, "assistant_id": f"assistant-of-{clerk_id}", "email": "Canary.1@example.com"} | columns
    names, values = ", ".join(row), ", ".join(f"%({name})s" for name in row)
    database.execute(f"INSERT INTO users ({names}) VALUES ({values})".encode(), row)
