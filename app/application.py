"""The composition root: create_app(settings) builds everything, the lifespan opens it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app import log
from app import settings as environment
from app.api.auth import Authenticator
from app.api.health import Health, LastEvent
from app.api.messages import Messages
from app.api.openapi import OpenApi
from app.api.sessions import Sessions
from app.api.users import Users
from app.api.webhooks import Webhooks
from app.chat.create_session import CreateSession
from app.chat.delete_session import DeleteSession
from app.chat.service import ChatService
from app.clerk.signatures import SignatureVerifier
from app.components import Components, build_components, open_components
from app.http.middleware import RequestMiddleware
from app.metrics import Metrics
from app.postgres.migrations import newest
from app.postgres.pool import warn_if_too_small
from app.settings import Settings
from app.users.service import UserService


class Application(Starlette):
    """Starlette with our frame alone round its router, which answers every error in one way."""

    def __init__(self, metrics: Metrics, **starlette: Any) -> None:
        super().__init__(**starlette)
        self._frame = RequestMiddleware(self._dispatch, metrics)
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
    verifier = SignatureVerifier([secret.get_secret_value() for secret in settings.clerk_webhook_signing_secret])
    components = build_components(settings)
    stopping = asyncio.Event()
    metrics = Metrics({pool.name: pool.stats for pool in (components.query_pool, components.provisioning_pool)})
    routes = _routes(settings, components, verifier, stopping, metrics)
    app = Application(
        metrics,
        routes=[*routes, Route("/openapi.json", OpenApi(routes).openapi)],
        lifespan=lambda _: _lifespan(settings, components, stopping),
    )
    # A redirect to a path with a slash would name whatever host the request claimed.
    app.router.redirect_slashes = False
    return app


def _routes(
    settings: Settings,
    components: Components,
    verifier: SignatureVerifier,
    stopping: asyncio.Event,
    metrics: Metrics,
) -> list[Route]:
    queries, query_pool = components.queries, components.query_pool
    provisioning_pool, backboard = components.provisioning_pool, components.backboard
    authenticator = Authenticator(
        service_tokens=[token.get_secret_value().encode() for token in settings.service_tokens],
        session_tokens=components.sessions,
    )
    last_event = LastEvent()
    webhooks = Webhooks(
        verifier=verifier,
        last_event=last_event,
        provisioning=components.provisioning,
        deletion=components.deletion,
        instance_id=settings.clerk_instance_id,
    )
    health = Health(
        queries=queries,
        query_pool=query_pool,
        provisioning_pool=provisioning_pool,
        schema_version=newest(),
        last_event=last_event,
        stopping=stopping,
        metrics=metrics,
    )
    users = UserService(provisioning=components.provisioning, clerk=components.clerk)
    chat = ChatService(queries=queries, query_pool=query_pool)
    sessions = Sessions(
        users=users,
        chat=chat,
        create_session=CreateSession(
            queries=queries, query_pool=query_pool, provisioning_pool=provisioning_pool, backboard=backboard
        ),
        delete_session=DeleteSession(queries=queries, provisioning_pool=provisioning_pool, backboard=backboard),
    )
    return [
        *webhooks.routes(),
        *Users(users=users, chat=chat).routes(authenticator),
        *sessions.routes(authenticator),
        *Messages(chat).routes(authenticator),
        *health.routes(),
    ]


@asynccontextmanager
async def _lifespan(
    settings: Settings, components: Components, stopping: asyncio.Event
) -> AsyncIterator[dict[str, asyncio.Event]]:
    """The lifespan of the web process; what it yields is for the server and its connections."""
    processes, concurrency = settings.web_concurrency, settings.provisioning_concurrency
    async with open_components(components):
        check = asyncio.create_task(
            warn_if_too_small(components.query_pool, components.queries, processes=processes, concurrency=concurrency)
        )
        try:
            yield {"stopping": stopping}
        finally:
            check.cancel()
            await asyncio.wait([check])


def app_from_environment() -> Starlette:
    """What each process that uvicorn starts builds for itself."""
    settings = environment.load(Settings)
    log.configure(settings.log_format, settings.log_level)
    return create_app(settings)
