"""GET /healthz: the process answers. GET /readyz: it can do its work. GET /metrics: how much of it it did."""

import asyncio
from time import monotonic
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from app import log
from app.errors import DatabaseUnavailable
from app.http.responses import answer_json
from app.metrics import CONTENT_TYPE, Metrics
from app.postgres.pipeline import execute as send_statements
from app.postgres.pool import Pool
from app.postgres.queries import Queries

CHECK_SECONDS = 1.0
# Anybody may ask; the database is asked once for all who do.
REMEMBERED_SECONDS = 1.0


class LastEvent:
    """What this process remembers; another process, or the one before a restart, may have heard more."""

    def __init__(self) -> None:
        self._at: float | None = None

    def note(self) -> None:
        """An event has just come whose signature is Clerk's, whatever becomes of it."""
        self._at = monotonic()

    def age_seconds(self) -> int | None:
        """Whole seconds since then; None when nothing was heard since the start."""
        return None if self._at is None else int(monotonic() - self._at)


async def healthz(_: Request) -> JSONResponse:
    """Touch nothing."""
    log.bind(event="healthz")
    return JSONResponse({"status": "ok"})


class MetricsProbe:
    """GET /metrics, in Prometheus' text format."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        log.bind(event="metrics")
        answer = Response(self._metrics.text(), media_type=CONTENT_TYPE)
        await answer(scope, receive, send)


class Readyz:
    """Whether the database is reachable and has the schema this code expects, the pools' figures, Clerk's silence.

    Silence makes nothing unready: on a quiet night it is right, and a restart would not end it.
    Backboard is not asked: existing users are served without it, and its outage must not take dynos away.
    """

    def __init__(
        self,
        *,
        queries: Queries,
        query_pool: Pool,
        provisioning_pool: Pool,
        expected: str,
        last_event: LastEvent,
        stopping: asyncio.Event,
    ) -> None:
        self._last_event = last_event
        self._stopping = stopping
        self._queries = queries
        self._query_pool = query_pool
        self._provisioning_pool = provisioning_pool
        self._expected = expected
        self._known: tuple[float, str] = (float("-inf"), "")
        self._lock = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature.
        log.bind(event="readyz")
        state = await self._state()
        silence = self._last_event.age_seconds()
        log.bind(last_event_seconds=silence)
        if state != "ready":
            log.bind(reason=state)
        ready = state == "ready"
        more = [] if ready else [(b"retry-after", b"5")]
        report = self._report(state) | {"last_event_seconds": silence}
        await answer_json(send, 200 if ready else 503, report, more=more)

    def _report(self, state: str) -> dict[str, Any]:
        pools = {pool.name: pool.stats() for pool in (self._query_pool, self._provisioning_pool)}
        return {"status": state, "schema": self._expected, "pools": pools}

    async def _state(self) -> str:
        if self._stopping.is_set():
            return "stopping"
        async with self._lock:
            asked_at, state = self._known
            if monotonic() - asked_at > REMEMBERED_SECONDS:
                state = await self._ask()
                self._known = (monotonic(), state)
            return state

    async def _ask(self) -> str:
        try:
            async with self._query_pool.connection(CHECK_SECONDS) as connection:
                (rows,) = await send_statements(
                    connection, (self._queries.get_schema_version, {}), seconds=CHECK_SECONDS
                )
        except DatabaseUnavailable as error:
            return error.reason
        version = rows[0][0]
        if version == self._expected:
            return "ready"
        return "schema_missing" if version is None else "schema_differs"
