"""The composition root: create_app(settings) builds everything, the lifespan opens it, uvicorn serves it."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.supervisors import Multiprocess

from app import logs
from app import settings as environment
from app.backfill import Backfill, Summary
from app.callers import Callers
from app.chat_messages import ChatMessages
from app.chat_sessions import ChatSessions
from app.chat_users import ChatUsers
from app.clerk_api import ClerkApi
from app.clerk_events import Verifier
from app.closing import Closing
from app.database import LOOKUP_CONNECTIONS
from app.drift import Names, Waits
from app.ensure_user import EnsureUser
from app.erasure import Confirm, Erasure
from app.last_event import LastEvent
from app.memory import Memory
from app.metrics import Metrics
from app.middleware import Frame
from app.migrations import newest
from app.on_demand import OnDemand
from app.opening import Opening
from app.parts import Parts, build_parts, open_parts
from app.probes import MetricsProbe, Readyz, healthz
from app.protocol import Protocol
from app.reconcile import Reconcile, Report
from app.settings import Settings
from app.webhooks import ClerkWebhook

# Heroku's router keeps idle connections for 90 s; ours must not be the side that hangs up first.
KEEP_ALIVE_SECONDS = 95
# A request takes at most 12 s; Heroku kills 30 s after SIGTERM.
SHUTDOWN_SECONDS = 20

# Given how many users there are, what to call after each of them.
Progress = Callable[[int], AbstractContextManager[Callable[[], object]]]


def create_app(settings: Settings) -> Starlette:
    """Build the application; nothing is connected before its lifespan begins."""
    verifier = Verifier([secret.get_secret_value() for secret in settings.clerk_webhook_signing_secret])
    parts = build_parts(settings)
    last_event = LastEvent()
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
        queries=parts.queries, pool=parts.pool, places=parts.places, expected=newest(), last_event=last_event
    )
    metrics = Metrics({pool.name: pool.figures for pool in (parts.pool, parts.places)})
    app = Starlette(
        routes=[
            Route("/webhooks/clerk", webhook, methods=["POST"]),
            Route("/ensure-user", EnsureUser(callers=callers, users=users), methods=["POST"]),
            Route("/healthz", healthz, methods=["GET"]),
            Route("/readyz", readyz, methods=["GET"]),
            Route("/metrics", MetricsProbe(metrics), methods=["GET"]),
            *_chat_routes(parts, callers, users),
        ],
        middleware=[Middleware(Frame, metrics=metrics)],
        exception_handlers={HTTPException: _leave_to_frame},
        lifespan=lambda _: open_parts(parts),
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


async def _leave_to_frame(_: Request, error: Exception) -> Response:
    """Starlette would answer 404 and 405 in plain text; the frame answers every error in one way."""
    raise error


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


def serve(settings: Settings) -> None:
    """Run the web process until SIGTERM or Ctrl-C."""
    logs.configure(settings.log_format, settings.log_level)
    if not settings.service_tokens:
        logs.say("ensure_user_closed", reason="SERVICE_TOKENS is not set")
    per_process = LOOKUP_CONNECTIONS + settings.provisioning_concurrency
    logs.say("starting", port=settings.port, processes=settings.web_concurrency, connections_each=per_process)
    config = _uvicorn_config(settings)
    if settings.web_concurrency == 1:
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run()
        return
    with config.bind_socket() as listening:
        Multiprocess(config, sockets=[listening]).run()


def _uvicorn_config(settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        "app.server:app_from_environment",
        factory=True,
        host="0.0.0.0",  # noqa: S104  # A dyno is reached from outside.
        port=settings.port,
        workers=settings.web_concurrency,
        loop="uvloop",
        http=Protocol,
        ws="none",
        backlog=128,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
