"""The composition root: create_app(settings) builds the web process, its lifespan opens the connections."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from app import log, sentry
from app import settings as environment
from app.api.auth import Authenticator
from app.api.health import Health, LastEvent
from app.api.limits import UserLimits, build_user_limits
from app.api.messages import Messages
from app.api.openapi import OpenApi
from app.api.scenarios import Scenarios
from app.api.sessions import Sessions
from app.api.users import Users
from app.api.webhooks import Webhooks
from app.chat.bulk import BulkConnection
from app.chat.create_session import CreateSession
from app.chat.delete_session import DeleteSession
from app.chat.scenarios import ScenarioService
from app.chat.service import ChatService
from app.clerk.signatures import SignatureVerifier
from app.components import Components, build_components, open_components
from app.http.middleware import RequestMiddleware
from app.metrics import Metrics
from app.ops.recording import Recording, build_recording
from app.postgres.connection_budget import ConnectionBudget, warn_if_too_small
from app.postgres.migration_files import newest
from app.settings import Settings
from app.users.service import UserService

if TYPE_CHECKING:
    from app.ops.page.routes import OpsPage


def create_app(settings: Settings) -> Starlette:
    """Build the application; nothing is connected before its lifespan begins."""
    components = build_components(settings)
    stopping = asyncio.Event()
    recording = build_recording(
        settings,
        queries=components.queries,
        pool=components.query_pool,
        pools=components.pools,
        breaker=lambda: components.backboard.breaker.state,
    )
    metrics = Metrics({pool.name: pool.stats for pool in components.pools}, recording.process)
    last_event = LastEvent(recording.history)
    webhooks = _webhooks(settings, components, last_event)
    limits = build_user_limits(settings)
    authenticator = Authenticator(
        service_tokens=[token.get_secret_value().encode() for token in settings.service_tokens],
        session_tokens=components.session_tokens,
        limits=limits,
    )
    health = Health(
        queries=components.queries,
        query_pool=components.query_pool,
        pools=components.pools,
        schema_version=newest(),
        last_event=last_event,
        stopping=stopping,
        prometheus=metrics,
        recording=recording,
    )
    routes = [*webhooks.routes(), *_chat_routes(components, authenticator, limits), *health.routes()]
    routes.append(Route("/openapi.json", OpenApi(routes).openapi))
    page = _ops_page(settings, components)
    if page is not None:
        routes += page.routes
    app = Starlette(routes=routes, lifespan=lambda _: _lifespan(settings, components, recording, page, stopping))
    # A redirect to a path with a slash would name the host that the request claimed.
    app.router.redirect_slashes = False
    # In the place of Starlette's own middleware: every error is answered in one way.
    app.middleware_stack = _middleware(app.router, metrics, recording, page)
    return app


def _ops_page(settings: Settings, components: Components) -> "OpsPage | None":
    """The operations page, which is imported where a token opens it; reconcile and erase come with it."""
    if not settings.has_ops_page:
        return None
    from app.commands.ops.one_user import OneUser  # noqa: PLC0415  # As above.
    from app.ops.page.routes import build_page  # noqa: PLC0415

    return build_page(settings, components.queries, OneUser(components, settings), components.query_pool)


def _webhooks(settings: Settings, components: Components, last_event: LastEvent) -> Webhooks:
    return Webhooks(
        verifier=SignatureVerifier([secret.get_secret_value() for secret in settings.clerk_webhook_signing_secret]),
        last_event=last_event,
        provisioning=components.provisioning,
        deletion=components.deletion,
        instance_id=settings.clerk_instance_id,
    )


def _middleware(router: Router, metrics: Metrics, recording: Recording, page: "OpsPage | None") -> RequestMiddleware:
    problem_headers = page.problem_headers if page is not None else None
    return RequestMiddleware(_dispatcher(router), metrics, recording.history.record, problem_headers)


def _dispatcher(router: Router) -> ASGIApp:
    """The router, but a path without parameters goes straight to its endpoint: trying every route costs 3 us."""
    endpoints = {
        (method, route.path): route.app
        for route in router.routes
        if isinstance(route, Route) and not route.param_convertors
        for method in route.methods or ()
    }

    def dispatch(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        endpoint = endpoints.get((scope.get("method", ""), scope.get("path", "")), router)
        return endpoint(scope, receive, send)

    return dispatch


def _chat_routes(components: Components, authenticator: Authenticator, limits: UserLimits) -> list[Route]:
    queries, query_pool = components.queries, components.query_pool
    provisioning_pool, backboard = components.provisioning_pool, components.backboard
    users = UserService(provisioning=components.provisioning, clerk=components.clerk)
    chat = ChatService(
        queries=queries,
        query_pool=query_pool,
        reads=components.reads,
        writes=components.writes,
        bulk=BulkConnection(provisioning_pool, queries),
    )
    scenarios = ScenarioService(queries=queries, query_pool=query_pool)
    sessions = Sessions(
        users=users,
        chat=chat,
        scenarios=scenarios,
        creation=CreateSession(
            replacement=components.replacement,
            queries=queries,
            query_pool=query_pool,
            slots=components.provisioning_slots,
            backboard=backboard,
        ),
        deletion=DeleteSession(
            queries=queries, provisioning_pool=provisioning_pool, slots=components.deletion_slots(), backboard=backboard
        ),
        limits=limits,
    )
    families = (
        Users(users=users, chat=chat, limits=limits),
        sessions,
        Messages(chat=chat, limits=limits),
        Scenarios(scenarios=scenarios),
    )
    return [route for family in families for route in family.routes(authenticator)]


@asynccontextmanager
async def _lifespan(
    settings: Settings,
    components: Components,
    recording: Recording,
    page: "OpsPage | None",
    stopping: asyncio.Event,
) -> AsyncIterator[dict[str, asyncio.Event]]:
    """Open what the web process needs, and close it; the state that it yields goes to the server."""
    budget = ConnectionBudget.of(settings)
    dsn = settings.sentry_dsn.get_secret_value() if settings.sentry_dsn else None
    async with open_components(components), page.opened() if page else nullcontext():
        recording.start()
        check = asyncio.create_task(warn_if_too_small(components.query_pool, components.queries, budget))
        try:
            with sentry.reporting(dsn, release=settings.release):
                yield {"stopping": stopping}
        finally:
            check.cancel()
            await asyncio.wait([check])
            await recording.close()
            log.flush_refusals()


def app_from_environment() -> Starlette:
    """The application of a process that uvicorn starts."""
    settings = environment.load(Settings)
    log.configure(settings.log_format, settings.log_level)
    return create_app(settings)
