"""GET /healthz: the process answers. GET /readyz: it can do its work. GET /metrics: what all have done so far."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from time import monotonic

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app import log
from app.api import schemas
from app.api.openapi import Operation
from app.deadline import Deadline
from app.errors import DatabaseUnavailable, DeadlineExceeded
from app.metrics import CONTENT_TYPE, Metrics
from app.ops.history import History
from app.ops.recording import Recording
from app.postgres.functions import list_wrong_functions
from app.postgres.pipeline import Statement
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.postgres.schema import find_tables, read_tables
from app.postgres.triggers import list_wrong_triggers

CHECK_SECONDS = 1.0
# The database is asked at most once in this time, however many clients ask.
CACHE_SECONDS = 1.0


class LastEvent:
    """When one of Clerk's events last came in, here or at another process, as far as the history tells."""

    def __init__(self, history: History) -> None:
        self._received_at: float | None = None
        self._history = history

    def record(self) -> None:
        """An event with a valid signature has come in, with any outcome."""
        self._received_at = monotonic()

    def age_seconds(self) -> int | None:
        """In whole seconds; None before the first event. It asks nothing, so others' are up to 5 s late."""
        now, history = monotonic(), self._history
        ages = [] if self._received_at is None else [now - self._received_at]
        if history.refreshed_at is not None:
            since = now - history.refreshed_at
            ages += [event.age_seconds + since for event in history.last_events if event.type != "ensure_user"]
        return int(min(ages)) if ages else None


@dataclass(kw_only=True)
class Health:
    """The handlers; the name of each is its event in the log.

    Neither Clerk's silence nor Backboard makes the process unready: a quiet night is no fault, and existing users are
    served without Backboard, so its outage must not take dynos out of service.
    """

    queries: Queries
    query_pool: Pool
    pools: Sequence[Pool]
    schema_version: str
    last_event: LastEvent
    stopping: asyncio.Event
    prometheus: Metrics
    recording: Recording
    _checked_at: float = field(default=float("-inf"), init=False)
    _status: str = field(default="", init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _functions: Statement = field(init=False)
    _triggers: Statement = field(init=False)

    def __post_init__(self) -> None:
        self._functions = list_wrong_functions(self.queries)
        self._triggers = list_wrong_triggers(self.queries)

    def routes(self) -> list[Route]:
        return [
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
        ]

    @Operation(is_public=True, answers={200: schemas.Health})
    async def healthz(self, _: Request) -> Response:
        """Whether the process answers."""
        log.bind(event="healthz")
        return JSONResponse({"status": "ok"})

    @Operation(is_public=True, answers={200: schemas.Readiness, 503: schemas.Readiness})
    async def readyz(self, _: Request) -> Response:
        """Whether it can do its work."""
        log.bind(event="readyz")
        status, silence = await self._readiness(), self.last_event.age_seconds()
        log.bind(last_event_seconds=silence)
        content = {
            "status": status,
            "schema": self.schema_version,
            "pools": {pool.name: pool.stats() for pool in self.pools},
            "last_event_seconds": silence,
        }
        if status == "ready":
            return JSONResponse(content)
        log.bind(reason=status)
        return JSONResponse(content, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "5"})

    @Operation(is_public=True, answers={200: str})
    async def metrics(self, _: Request) -> Response:
        """Figures of this process and of all together, in Prometheus' text format."""
        log.bind(event="metrics")
        shared = await self.recording.figures.get()
        return Response(self.prometheus.text(shared, self.last_event.age_seconds()), media_type=CONTENT_TYPE)

    async def _readiness(self) -> str:
        """`ready`, or the reason why not."""
        if self.stopping.is_set():
            return "stopping"
        async with self._lock:
            if monotonic() - self._checked_at > CACHE_SECONDS:
                self._status = await self._check_schema()
                self._checked_at = monotonic()
            return self._status

    async def _check_schema(self) -> str:
        try:
            deadline = Deadline(CHECK_SECONDS)
            versions, tables, *wrong = await self.query_pool.execute(
                (self.queries.get_schema_version, {}),
                find_tables(self.queries),
                self._functions,
                self._triggers,
                deadline=deadline,
            )
        except (DatabaseUnavailable, DeadlineExceeded) as error:
            return error.reason
        version = versions[0][0]
        if version == self.schema_version and any(wrong):
            return "schema_missing"
        if version == self.schema_version:
            return "database_rights" if any(table.lacks_rights for table in read_tables(tables)) else "ready"
        return "schema_missing" if version is None else "schema_differs"
