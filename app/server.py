"""The composition root: create_app(settings) builds everything, the lifespan opens it."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app import logs
from app import settings as environment
from app.backfill import Backfill, Summary
from app.budget import warn_if_too_small
from app.callers import Callers
from app.chat_messages import ChatMessages
from app.chat_sessions import ChatSessions
from app.chat_users import ChatUsers
from app.clerk_api import ClerkApi
from app.clerk_events import Verifier
from app.closing import Closing
from app.drift import Names, Waits
from app.ensure_user import EnsureUser
from app.erasure import Confirm, Erasure
from app.last_event import LastEvent
from app.memory import Memory
from app.metrics import Metrics
from app.middleware import Frame
from app.migrations import newest
from app.on_demand import OnDemand
from app.openapi import OpenApi
from app.opening import Opening
from app.parts import Parts, build_parts, open_parts
from app.probes import MetricsProbe, Readyz, healthz
from app.reconcile import Reconcile, Report
from app.settings import Settings
from app.webhooks import ClerkWebhook

# Given how many users there are, what to call after each of them.
Progress = Callable[[int], AbstractContextManager[Callable[[], object]]]


class Application(Starlette):
    """Starlette with our frame alone round its router, which answers every error in one way."""

    def __init__(self, metrics: Metrics, **starlette: Any) -> None:
        super().__init__(**starlette)
        self._frame = Frame(self._dispatch, metrics)
        self._exact = {
            (method, route.path): route.app
            for route in self.routes
            if isinstance(route, Route) and not route.param_convertors
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self
        await self._frame(scope, receive, send)

    def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Straight to a path that is known as it stands; only for others are the routes tried one by one."""
        app = self._exact.get((scope.get("method", ""), scope.get("path", "")), self.router)
        return app(scope, receive, send)


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
    callers = Callers(tokens=tokens, sessions=parts.sessions)
    users = OnDemand(provisioning=parts.provisioning, clerk=clerk)
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
            Route("/ensure-user", EnsureUser(callers=callers, users=users), methods=["POST"]),
            Route("/healthz", healthz, methods=["GET"]),
            Route("/readyz", readyz, methods=["GET"]),
            Route("/metrics", MetricsProbe(metrics), methods=["GET"]),
            Route("/openapi.json", OpenApi(), methods=["GET"]),
            *_chat_routes(parts, callers, users),
        ],
        lifespan=lambda _: _live(settings, parts, stopping),
    )
    # A redirect to a path with a slash would name whatever host the request claimed.
    app.router.redirect_slashes = False
    return app


def _chat_routes(parts: Parts, callers: Callers, users: OnDemand) -> list[Route]:
    queries, pool, places, backboard = parts.queries, parts.pool, parts.places, parts.backboard
    memory = Memory(queries=queries, pool=pool)
    opening = Opening(queries=queries, pool=pool, places=places, backboard=backboard)
    closing = Closing(queries=queries, places=places, backboard=backboard)
    return [
        *ChatSessions(users=users, opening=opening, closing=closing, memory=memory).routes(callers),
        *ChatMessages(memory).routes(callers),
        *ChatUsers(users=users, memory=memory).routes(callers),
    ]


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


async def erase(settings: Settings, clerk_id: str, confirm: Confirm | None, say: Callable[[str], object]) -> bool:
    """The command of that name, on parts of its own; whether nothing is left."""
    parts = build_parts(settings)
    async with open_parts(parts):
        work = Erasure(queries=parts.queries, places=parts.places, backboard=parts.backboard, lifecycle=parts.lifecycle)
        return await work.run(clerk_id, confirm, say)


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
