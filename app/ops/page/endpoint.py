"""One route of the operations page, as an ASGI application: the guard, the handler, and every error as a page."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app import log
from app.errors import NotFound, ServiceError
from app.http.responses import HttpError, problem_of
from app.ops.page.access import Access, demand_right_to_act
from app.ops.page.rendering import Pages
from app.ops.page.requests import OpsRequest, wants_json
from app.reasons import REASONS

Handler = Callable[[OpsRequest], Awaitable[Response]]

_NOTHING_HERE = "There is no such page, or what it was about is gone by now."


class Endpoint:
    """`event` is its name in the log. Errors are answered with a page, where JSON is wanted by the middleware."""

    def __init__(self, access: Access, pages: Pages, handler: Handler, *, acts: bool) -> None:
        self.event = f"ops_{handler.__name__}"
        self._access = access
        self._pages = pages
        self._handler = handler
        self._acts = acts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        log.bind(event=self.event)
        try:
            response = await self._answer(scope, receive)
        except ServiceError as error:
            if wants_json(scope):
                raise
            log.bind(reason=error.reason)
            response = self._error_page(scope, error)
        await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        operator = self._access.authenticate(scope)
        if self._acts:
            demand_right_to_act(scope, operator)
        return await self._handler(OpsRequest(scope, receive, operator))

    def _error_page(self, scope: Scope, error: ServiceError) -> Response:
        problem, known = problem_of(error), REASONS[error.reason]
        is_missing = isinstance(error, NotFound) or problem.status == HTTPStatus.NOT_FOUND
        context: Mapping[str, object] = {
            "status": int(problem.status),
            "title": HTTPStatus(problem.status).phrase,
            "meaning": _NOTHING_HERE if is_missing else known.meaning,
            "remedy": "" if is_missing else known.remedy,
            "is_let_in": not isinstance(error, HttpError) or problem.status == HTTPStatus.NOT_FOUND,
        }
        headers = {name.decode(): value.decode() for name, value in problem.headers}
        return self._pages.render(scope, "error.html", context, status=int(problem.status), headers=headers)


def route(path: str, endpoint: Endpoint, method: str) -> Route:
    return Route(path, endpoint, methods=[method])
