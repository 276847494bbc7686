"""The operations page of a process: its routes, and the pool of one connection that it reads with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.routing import Route

from app.http.middleware import ProblemHeaders
from app.ops.page.access import Access
from app.ops.page.endpoint import Endpoint, Handler, route
from app.ops.page.rendering import HEADERS, Pages
from app.ops.page.user_views import ActionLog, UserCommands, UserViews
from app.ops.page.views import Views
from app.ops.reads import OpsReads
from app.ops.tables import Tables
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.settings import Settings

CONNECTIONS = 1


@dataclass(frozen=True, slots=True)
class OpsPage:
    """What lives as long as the process."""

    routes: list[Route]
    pool: Pool
    user_views: UserViews
    problem_headers: ProblemHeaders

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connect on entry; at the end let the buttons' work end."""
        await self.pool.open()
        try:
            yield
        finally:
            await self.user_views.close()
            await self.pool.close()


def build_page(settings: Settings, queries: Queries, commands: UserCommands, writing_pool: Pool) -> OpsPage:
    """Build it. The actions are written over `writing_pool`; everything is read over a pool of its own."""
    pool = Pool(settings.database_url.get_secret_value(), name="ops", size=CONNECTIONS)
    access, pages, reads = Access(settings), Pages(), OpsReads(queries, pool)
    views = Views(pages, reads, Tables(queries, pool))
    user_views = UserViews(pages, reads, commands, ActionLog(queries, writing_pool))

    def get(path: str, handler: Handler) -> Route:
        return route(path, Endpoint(access, pages, handler, acts=False), "GET")

    def act(path: str, handler: Handler) -> Route:
        return route(path, Endpoint(access, pages, handler, acts=True), "POST")

    routes = [
        get("/ops", views.overview),
        route("/ops/find", Endpoint(access, pages, user_views.find, acts=False), "POST"),
        get("/ops/users/{clerk_id}", user_views.user),
        act("/ops/users/{clerk_id}/sync", user_views.sync),
        act("/ops/users/{clerk_id}/repair", user_views.repair),
        act("/ops/users/{clerk_id}/erase", user_views.erase),
        get("/ops/deliveries", views.deliveries),
        get("/ops/deliveries/{svix_id:path}", views.delivery),
        get("/ops/doubts", views.doubts),
        get("/ops/processes", views.processes),
        get("/ops/data/{table}", views.data),
        route("/ops/data/{table}", Endpoint(access, pages, views.find_rows, acts=False), "POST"),
        get("/ops/actions", views.actions),
        get("/ops/static/{name}", views.static),
        get("/ops/{path:path}", views.missing),
    ]
    strict = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
    return OpsPage(routes, pool, user_views, ProblemHeaders("/ops", strict))
