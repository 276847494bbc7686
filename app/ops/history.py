"""The history's writer: behind the answers, one commit a second at most, and never at the cost of an answer.

A closing line goes into a bounded queue, in less than a microsecond. Once a second the queue goes out in one
transaction. It is not the user's own: a rollback would take the failure along, and a lookup would become a commit. A
kill loses a second of history and no effect; while Postgres is down the newest failures are kept; what is lost is
counted.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from secrets import token_hex
from time import monotonic, time
from typing import Any

from app import VERSION, log
from app.errors import ConstraintViolated, DatabaseUnavailable, InvalidRequest
from app.log_format import Fields
from app.ops.batch import Batch, Count, Outcome, SlotOutcome, Try, add_counts, slot_of
from app.ops.models import FAILURE, EventAge
from app.ops.process import ThisProcess
from app.postgres.pipeline import Rows, Statement
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.postgres.transaction import run_transaction

QUEUE_LENGTH = 1000
# Different outcomes in different slots; a day without a database has some 6,000.
MOST_COUNTS = 10_000
FLUSH_SECONDS = 1.0
# How often the row of the process is refreshed where there is nothing else to write.
REFRESH_SECONDS = 5.0
# While a caller uses the last idle connection, the history waits, but not for ever: an outage leaves none idle, and
# the pool connects again only for one who asks.
PATIENCE_SECONDS = 5.0
CONNECTION_SECONDS = 1.0
STATEMENT_MS, LOCK_MS = 1500, 500
SECONDS = 2.0


class History:
    """Records closing lines and writes them. `retention_days` of 0 switches it off: nothing is kept or written."""

    def __init__(
        self,
        *,
        queries: Queries,
        pool: Pool,
        process: ThisProcess,
        pool_stats: Mapping[str, Callable[[], Mapping[str, int]]],
        breaker: Callable[[], str],
        retention_days: int,
    ) -> None:
        self.is_on = retention_days > 0
        self.process = process
        # Entries that never came into the tables.
        self.lost = 0
        self._lost_at: datetime | None = None
        # Of all processes, by the last refresh, and when that was on the monotonic clock.
        self.last_events: Sequence[EventAge] = ()
        self.refreshed_at: float | None = None
        self._queries, self._pool = queries, pool
        self._pool_stats, self._breaker = pool_stats, breaker
        self._tries: deque[Try] = deque()
        self._counts: dict[Outcome, list[float]] = {}
        self._slots: dict[SlotOutcome, Count] = {}
        self._batch: Batch | None = None
        self._number = 0
        self._last_event_at: float | None = None
        # Whether a write may have been committed without our knowing.
        self._is_uncertain = False
        self._is_behind = False
        self._due_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def record(self, fields: Fields, seconds: float) -> None:
        """Take the closing line of a request, before it is written; the request took so many seconds."""
        if not self.is_on:
            return
        event, status, outcome = fields["event"], fields["status"], fields.get("outcome", "")
        key = (event, outcome, fields.get("reason", ""), status)
        count = self._counts.get(key)  # type: ignore[call-overload]  # An Outcome takes longer to make.
        if count is None:
            self._counts[Outcome(*key)] = [1, seconds]
        else:
            count[0] += 1
            count[1] += seconds
        if event == "webhook":
            if "svix_id" in fields:
                self._last_event_at = time()
                self._keep(fields, is_notable=status >= FAILURE or outcome == "created")
        elif event == "ensure_user" and (status >= FAILURE or outcome == "created"):
            self._keep(fields, is_notable=True)

    def _keep(self, fields: Fields, *, is_notable: bool) -> None:
        if len(self._tries) >= QUEUE_LENGTH:
            self._lose(1)
            if not is_notable:
                return
            self._tries.popleft()
        # Callers choose the ids of their requests, so two users may have the same; an ensure-user gets one of ours.
        self._tries.append(Try(fields.get("svix_id") or f"ensure_{token_hex(12)}", time(), fields))

    def start(self) -> None:
        """Begin to write, in a task of its own."""
        if self.is_on:
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Write what is left, and say so if it cannot be written."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        await self.flush()
        left = len(self._tries) + (self._batch.size if self._batch else 0)
        if left:
            log.warning("history_lost", count=left)

    async def _run(self) -> None:
        while True:
            if self._is_welcome():
                await self.flush()
            await asyncio.sleep(FLUSH_SECONDS)

    def _is_welcome(self) -> bool:
        """Whether a connection is idle, or none was for a while."""
        return self._pool.stats()["idle"] > 0 or monotonic() > self._due_at + PATIENCE_SECONDS

    async def flush(self) -> None:
        """Write what there is; what cannot be written waits for the next time, unless the fault is its own."""
        self._take()
        if self._batch is None and monotonic() < self._due_at:
            return
        try:
            await self._write()
        except (InvalidRequest, ConstraintViolated) as error:
            # It would never be written. A bug, of which a test should know.
            self._drop()
            log.exception(error)
        except DatabaseUnavailable as error:
            self._due_at = monotonic()
            if not self._is_behind:
                log.warning("history_behind", reason=error.reason)
            self._is_behind = True
        except Exception as error:  # noqa: BLE001  # The history ends no process.
            self._drop()
            log.exception(error)

    def _take(self) -> None:
        """Put the counts into their slot; what is queued becomes a batch, unless one still waits."""
        counts, self._counts = self._counts, {}
        slot = slot_of(time())
        if len(self._slots) >= MOST_COUNTS:
            self._lose(int(sum(number for number, _ in counts.values())))
        else:
            add_counts(
                self._slots,
                ((SlotOutcome(slot, key), Count(int(number), seconds)) for key, (number, seconds) in counts.items()),
            )
        if self._batch is None and (self._tries or self._slots):
            self._number += 1
            self._batch = Batch(self._number, list(self._tries), self._slots)
            self._tries.clear()
            self._slots = {}

    def _lose(self, number: int) -> None:
        if number:
            self.lost += number
            self._lost_at = datetime.now(UTC)

    def _drop(self) -> None:
        self._lose(self._batch.size if self._batch else 0)
        self._batch = None

    async def _write(self) -> None:
        queries = self._queries
        if self._is_uncertain and self._batch is not None:
            (rows,) = await self._run_transaction((queries.lock_process, {"id": self.process.id}))
            if rows == [(self._batch.number,)]:
                self._batch = None
        statements = self._batch.statements(queries) if self._batch else []
        self._is_uncertain = True
        *_, events = await self._run_transaction(*statements, self._refresh(), (queries.list_last_events, {}))
        self._is_uncertain, self._batch = False, None
        self.last_events = [EventAge(*row) for row in events]
        self.refreshed_at = monotonic()
        self._due_at = self.refreshed_at + REFRESH_SECONDS
        if self._is_behind:
            self._is_behind = False
            log.info("history_caught_up", lost=self.lost)

    def _refresh(self) -> Statement:
        """The row of this process, with the number of the write that it is part of."""
        process, last = self.process, self._last_event_at
        values: dict[str, Any] = {
            "id": process.id,
            "host": process.host,
            "release": process.release,
            "version": VERSION,
            "started_at": process.started_at,
            "last_event_at": None if last is None else datetime.fromtimestamp(last, UTC),
            "pools": json.dumps({name: dict(stats()) for name, stats in self._pool_stats.items()}),
            "breaker": self._breaker(),
            "lost": self.lost,
            "lost_at": self._lost_at,
            "writes": self._batch.number if self._batch else self._number,
        }
        return self._queries.record_process, values

    async def _run_transaction(self, *statements: Statement) -> list[Rows]:
        async with self._pool.connection(CONNECTION_SECONDS) as connection:
            return await run_transaction(
                connection, self._queries, *statements, seconds=SECONDS, lock_ms=LOCK_MS, statement_ms=STATEMENT_MS
            )
