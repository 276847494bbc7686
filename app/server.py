"""The composition root: create_app(settings) builds everything, the lifespan opens it."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app import logs
from app import settings as environment
from app.backboard import Backboard, build_backboard_client
from app.backfill import Backfill, Summary
from app.budget import warn_if_too_small
from app.clerk_api import ClerkApi, build_clerk_client
from app.clerk_events import Verifier
from app.database import LOOKUP_CONNECTIONS, Pool
from app.drift import Names, Waits
from app.ensure_user import EnsureUser
from app.last_event import LastEvent
from app.lifecycle import Lifecycle
from app.metrics import Metrics
from app.middleware import Frame
from app.migrations import newest
from app.openapi import OpenApi
from app.probes import MetricsProbe, Readyz, healthz
from app.provisioning import Provisioning
from app.queries import Queries
from app.reconcile import Reconcile, Report
from app.session_tokens import SessionTokens, build_session_tokens
from app.settings import Settings
from app.webhooks import ClerkWebhook

FLIGHT_SECONDS = 12.0
# How many sign-ups may queue for each place before more are refused at once.
WAITING_PER_PLACE = 4
# Profiles are read before a place is taken, so more of them may be under way than users are provisioned.
CLERK_CALLS = 5


# Given how many users there are, what to call after each of them.
Progress = Callable[[int], AbstractContextManager[Callable[[], object]]]


@dataclass(frozen=True, slots=True)
class Parts:
    """What lives as long as the process."""

    queries: Queries
    pool: Pool
    places: Pool
    client: httpx.AsyncClient
    backboard: Backboard
    provisioning: Provisioning
    lifecycle: Lifecycle
    clerk: httpx.AsyncClient | None
    sessions: SessionTokens | None


class Application(Starlette):
    """Starlette with our frame alone round its router, which answers every error in one way."""

    def __init__(self, metrics: Metrics, **starlette: Any) -> None:
        self._metrics = metrics
        super().__init__(**starlette)
        self._exact = {route.path: route for route in self.routes if isinstance(route, Route)}

    def build_middleware_stack(self) -> ASGIApp:
        return Frame(self._dispatch, self._metrics)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Straight to a path that is known as it stands; only for others are the routes tried one by one."""
        route = self._exact.get(scope.get("path", ""))
        await (route.handle if route else self.router)(scope, receive, send)


def create_app(settings: Settings) -> Starlette:
    """Build the application; nothing is connected before its lifespan begins."""
    verifier = Verifier([secret.get_secret_value() for secret in settings.clerk_webhook_signing_secret])
    parts = build_parts(settings)
    last_event, stopping = LastEvent(), asyncio.Event()
    webhook = ClerkWebhook(
        verifier=verifier,
        last_event=last_event,
        provisioning=parts.provisioning,
        lifecycle=parts.lifecycle,
        instance_id=settings.clerk_instance_id,
    )
    tokens = [token.get_secret_value().encode() for token in settings.service_tokens]
    clerk = ClerkApi(parts.clerk) if parts.clerk else None
    ensure_user = EnsureUser(tokens=tokens, provisioning=parts.provisioning, clerk=clerk, sessions=parts.sessions)
    readyz = Readyz(
        queries=parts.queries,
        pool=parts.pool,
        places=parts.places,
        expected=newest(),
        last_event=last_event,
        stopping=stopping,
    )
    metrics = Metrics({pool.name: pool.figures for pool in (parts.pool, parts.places)})
    app = Application(
        metrics,
        routes=[
            Route("/webhooks/clerk", webhook, methods=["POST"]),
            Route("/ensure-user", ensure_user, methods=["POST"]),
            Route("/healthz", healthz, methods=["GET"]),
            Route("/readyz", readyz, methods=["GET"]),
            Route("/metrics", MetricsProbe(metrics), methods=["GET"]),
            Route("/openapi.json", OpenApi(), methods=["GET"]),
        ],
        lifespan=lambda _: _live(settings, parts, stopping),
    )
    # A redirect to a path with a slash would name whatever host the request claimed.
    app.router.redirect_slashes = False
    return app


def build_parts(settings: Settings) -> Parts:
    """Build what the web process and the commands stand on; nothing is connected yet."""
    queries = Queries.load()
    url = settings.database_url.get_secret_value()
    places = settings.provisioning_concurrency
    pool = Pool(url, name="lookup", size=LOOKUP_CONNECTIONS)
    provisioning_pool = Pool(url, name="provisioning", size=places, waiting=places * WAITING_PER_PLACE)
    client = build_backboard_client(
        url=settings.backboard_api_url,
        api_key=settings.backboard_api_key.get_secret_value(),
        # As many again for deletions, which hold no place while Backboard answers.
        connections=2 * places,
    )
    backboard = Backboard(
        client, name_prefix=settings.assistant_name_prefix, system_prompt=settings.assistant_system_prompt
    )
    provisioning = Provisioning(queries=queries, pool=pool, places=provisioning_pool, backboard=backboard)
    lifecycle = Lifecycle(queries=queries, places=provisioning_pool, backboard=backboard)
    clerk = _build_clerk(settings)
    sessions = build_session_tokens(settings)
    return Parts(queries, pool, provisioning_pool, client, backboard, provisioning, lifecycle, clerk, sessions)


def _build_clerk(settings: Settings) -> httpx.AsyncClient | None:
    if settings.clerk_secret_key is None:
        return None
    key = settings.clerk_secret_key.get_secret_value()
    return build_clerk_client(
        url=settings.clerk_api_url, secret_key=key, connections=settings.provisioning_concurrency * CLERK_CALLS
    )


@asynccontextmanager
async def open_parts(parts: Parts) -> AsyncIterator[None]:
    """Open on entry, close in reverse; a database that is down stops neither."""
    await parts.pool.open()
    await parts.places.open()
    try:
        yield
    finally:
        await parts.provisioning.close(FLIGHT_SECONDS)
        await parts.client.aclose()
        if parts.clerk:
            await parts.clerk.aclose()
        if parts.sessions:
            await parts.sessions.close()
        await asyncio.gather(parts.pool.close(), parts.places.close())
        logs.sum_up()


@asynccontextmanager
async def _live(settings: Settings, parts: Parts, stopping: asyncio.Event) -> AsyncIterator[dict[str, asyncio.Event]]:
    """The lifespan of the web process; what it yields is for the server and its connections."""
    processes, places = settings.web_concurrency, settings.provisioning_concurrency
    async with open_parts(parts):
        check = asyncio.create_task(warn_if_too_small(parts.pool, parts.queries, processes=processes, places=places))
        try:
            yield {"stopping": stopping}
        finally:
            check.cancel()
            await asyncio.wait([check])


async def reconcile(settings: Settings, *, everybody: bool, apply: bool, waits: Waits) -> Report:
    """The command of that name, on parts of its own."""
    parts = build_parts(settings)
    async with open_parts(parts):
        work = Reconcile(
            queries=parts.queries,
            pool=parts.pool,
            backboard=parts.backboard,
            clerk=ClerkApi(parts.clerk) if parts.clerk else None,
            provisioning=parts.provisioning,
            lifecycle=parts.lifecycle,
            names=Names(settings.assistant_name_prefix),
        )
        return await work.run(everybody=everybody, apply=apply, waits=waits)


async def backfill(settings: Settings, progress: Progress) -> Summary:
    """The command of that name, on parts of its own; SIGTERM and Ctrl-C end it between two users."""
    parts = build_parts(settings)
    if parts.clerk is None:
        raise ValueError("CLERK_SECRET_KEY is not set")
    async with open_parts(parts):
        work = Backfill(
            clerk=ClerkApi(parts.clerk),
            provisioning=parts.provisioning,
            concurrency=settings.provisioning_concurrency,
        )
        for end in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(end, work.stop)
        with progress(await work.count_users()) as advance:
            return await work.run(advance)


def app_from_environment() -> Starlette:
    """What each process that uvicorn starts builds for itself."""
    settings = environment.load(Settings)
    logs.configure(settings.log_format, settings.log_level)
    return create_app(settings)
