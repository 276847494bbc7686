"""The figures of all processes together that /metrics shows, read at most once in two seconds."""

import asyncio
from contextlib import suppress
from time import monotonic

from app.deadline import Deadline
from app.errors import DatabaseUnavailable, DeadlineExceeded
from app.metrics import SharedFigures
from app.postgres.pool import Pool
from app.postgres.queries import Queries

CACHE_SECONDS = 2.0
READ_SECONDS = 1.0


class FiguresCache:
    """The last figures that could be read. With the history off, there are those of the open doubts only."""

    def __init__(self, *, queries: Queries, pool: Pool, has_history: bool) -> None:
        self._queries = queries
        self._pool = pool
        self._has_history = has_history
        self._figures: SharedFigures | None = None
        self._asked_at = float("-inf")
        self._lock = asyncio.Lock()

    async def get(self) -> SharedFigures | None:
        """The figures, with their age; None before the first. A database that is down leaves the old ones."""
        async with self._lock:
            if monotonic() - self._asked_at > CACHE_SECONDS:
                self._asked_at = monotonic()
                # /readyz and the log say what is wrong.
                with suppress(DatabaseUnavailable, DeadlineExceeded):
                    self._figures = await self._read()
            return self._figures

    async def _read(self) -> SharedFigures:
        queries = self._queries
        doubts, failing, events, totals = await self._pool.execute(
            (queries.list_doubt_ages, {}),
            (queries.count_failing, {}),
            (queries.list_last_events, {}),
            (queries.list_outcome_totals, {}),
            deadline=Deadline(READ_SECONDS),
            seconds=READ_SECONDS,
        )
        known = self._has_history
        return SharedFigures(
            read_at=monotonic(),
            doubts={table: (number, oldest or 0.0) for table, number, oldest in doubts},
            failing=failing[0][0] if known else None,
            last_events={kind: age for kind, _, age in events if kind != "ensure_user"} if known else {},
            requests={(event, outcome, status): number for event, outcome, status, number in totals} if known else {},
        )
