"""The service under test, in this process or in one of its own, and clients that call it as its two callers do."""

import base64
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any, cast

import httpx
from starlette.applications import Starlette
from starlette.routing import Route

from app.api.auth import MethodRouter
from app.application import create_app
from app.settings import DATABASE_VARIABLES, Settings
from tests.support import factories
from tests.support.canaries import DATABASE_PASSWORD, assert_discreet
from tests.support.factories import Person, signed
from tools.processes import ServerProcess


def environment(database_url: str, backboard_url: str, **changed: str) -> dict[str, str]:
    """The variables of a service under test."""
    variables = {
        # The local server asks for no password, so this one is only a secret that must not show up anywhere.
        "DATABASE_URL": database_url.replace("//app@", f"//app:{DATABASE_PASSWORD}@"),
        "BACKBOARD_API_KEY": factories.API_KEY,
        "BACKBOARD_API_URL": backboard_url,
        "CLERK_WEBHOOK_SIGNING_SECRET": ",".join(
            "whsec_" + base64.b64encode(secret).decode() for secret in (factories.SECRET, factories.OTHER_SECRET)
        ),
        "SERVICE_TOKENS": f"{factories.TOKEN},{factories.OTHER_TOKEN}",
        # The history has tests of its own; in all others nothing else is to use the connections meanwhile.
        "OPS_RETENTION_DAYS": "0",
    }
    return variables | changed


def settings_of(variables: dict[str, str]) -> Settings:
    """Settings as they would come from these variables, and from nothing else."""
    aliased = {name if name in DATABASE_VARIABLES else name.lower(): value for name, value in variables.items()}
    return Settings(_env_file=None, **aliased)  # type: ignore[arg-type, call-arg]  # Text, as from the environment.


@dataclass(frozen=True)
class Service:
    """A client of the service, however that runs: Clerk's sender and the chat backend."""

    client: httpx.AsyncClient

    async def deliver(self, body: bytes, **how: Any) -> httpx.Response:
        """Deliver a body as Clerk's sender does."""
        return await self.client.post("/webhooks/clerk", content=body, headers=signed(body, **how))

    async def ensure(self, person: Person, token: str = factories.TOKEN, **more: Any) -> httpx.Response:
        """Ensure a user as the chat backend does."""
        return await self.client.post(
            "/ensure-user",
            json={"clerk_id": person.clerk_id, **more},
            headers={"Authorization": f"Bearer {token}"},
        )


@dataclass(frozen=True)
class Chat:
    """A client of the chat's routes: the chat backend or, with a session token, a signed-in user."""

    client: httpx.AsyncClient
    token: str = factories.TOKEN

    async def open(self, person: Person, *, key: str | None = None, **body: Any) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.post(f"/users/{person.clerk_id}/sessions", body, **headers)

    async def say(self, session: dict[str, Any], role: str, content: str, **more: Any) -> httpx.Response:
        body = {"role": role, "content": content, **more}
        return await self.post(f"/sessions/{session['id']}/messages", body)

    async def get(self, path: str, **how: Any) -> httpx.Response:
        return await self.client.get(path, headers=self._headers, **how)

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return await self.client.post(path, json=body, headers=self._headers | headers)

    async def put(self, path: str, body: Any) -> httpx.Response:
        return await self.client.put(path, json=body, headers=self._headers)

    async def patch(self, path: str, body: Any) -> httpx.Response:
        return await self.client.patch(path, json=body, headers=self._headers)

    async def delete(self, path: str) -> httpx.Response:
        return await self.client.delete(path, headers=self._headers)

    async def raw(self, method: str, path: str, body: bytes) -> httpx.Response:
        """Send a body unchanged."""
        headers = self._headers | {"Content-Type": "application/json"}
        return await self.client.request(method, path, content=body, headers=headers)

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@asynccontextmanager
async def in_process(app: Starlette) -> AsyncIterator[Service]:
    """Run an application in this process, with its lifespan, which httpx's transport leaves out."""
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=True),
            base_url="http://test",
            event_hooks={"response": [_check]},
        ) as client,
    ):
        yield Service(client)


async def _check(response: httpx.Response) -> None:
    await response.aread()
    assert_discreet(response.status_code, response.headers.raw, response.content)
    assert_declared(response.request.method, response.request.url.path, response.status_code, response.content)


# The path itself is what is refused; and Postgres does not say which text.
_WITHOUT_PLACE = ("scenario_in_use", "unstorable_text")


def assert_declared(method: str, path: str, status: int, body: bytes) -> None:
    """A problem has its request id, and a code only if the operation declares it for this status."""
    if not body.startswith(b'{"type":"about:blank"'):
        return
    problem = json.loads(body)
    assert problem["request_id"]
    assert problem.keys() <= {"type", "title", "status", "detail", "request_id", "code", "errors"}
    assert "code" in problem or "errors" not in problem
    if "code" in problem and status != HTTPStatus.INTERNAL_SERVER_ERROR:
        assert problem["code"] in _declared_codes(method, path).get(status, ()), (method, path, problem)
    if problem.get("code") and status in (HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.CONFLICT):
        assert problem.get("errors") or problem["code"] in _WITHOUT_PLACE, problem
    for one in problem.get("errors", ()):
        assert one["detail"]
        assert len(one) == (2 if problem["code"] != "query" else 1 + ("parameter" in one)), one


def _declared_codes(method: str, path: str) -> Mapping[int, Sequence[str]]:
    for pattern, endpoints, parameters in _patterns():
        if pattern.match(path):
            problems: Mapping[int, Sequence[str]] = vars(endpoints[method])["operation"].problems(parameters)
            return problems
    return {}


@cache
def _patterns() -> list[tuple[re.Pattern[str], Mapping[str, Any], Sequence[str]]]:
    app = create_app(settings_of(environment("postgresql://app@/app", "http://127.0.0.1:9/api")))
    routes = [route for route in app.routes if isinstance(route, Route) and isinstance(route.app, MethodRouter)]
    return [(one.path_regex, cast("MethodRouter", one.app).endpoints, list(one.param_convertors)) for one in routes]


@asynccontextmanager
async def connected_to(server: ServerProcess) -> AsyncIterator[Service]:
    """A client of a server process."""
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(
        base_url=server.url,
        timeout=20.0,
        limits=limits,
        trust_env=False,
        event_hooks={"response": [_check]},
    ) as client:
        yield Service(client)
