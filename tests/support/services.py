"""The service under test, in this process or as one of its own, and what its two callers ask of it."""

import base64
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette

from app.settings import DATABASE_VARIABLES, Settings
from tests.support import factories
from tests.support.canaries import DATABASE_PASSWORD, assert_discreet
from tests.support.factories import Person, signed


def environment(database_url: str, backboard_url: str, **changed: str) -> dict[str, str]:
    """The variables of a service under test."""
    variables = {
        # The local server asks for no password; so it is one more secret that must not show.
        "DATABASE_URL": database_url.replace("//app@", f"//app:{DATABASE_PASSWORD}@"),
        "BACKBOARD_API_KEY": factories.API_KEY,
        "BACKBOARD_API_URL": backboard_url,
        "CLERK_WEBHOOK_SIGNING_SECRET": ",".join(
            "whsec_" + base64.b64encode(secret).decode() for secret in (factories.SECRET, factories.OTHER_SECRET)
        ),
        "SERVICE_TOKENS": f"{factories.TOKEN},{factories.OTHER_TOKEN}",
    }
    return variables | changed


def settings_of(variables: dict[str, str]) -> Settings:
    """Settings as they would come from these variables, and from nothing else."""
    aliased = {name if name in DATABASE_VARIABLES else name.lower(): value for name, value in variables.items()}
    return Settings(_env_file=None, **aliased)  # type: ignore[arg-type, call-arg]  # Text, as from the environment.


@dataclass(frozen=True)
class Service:
    """The service, however it runs, and what its two callers ask of it."""

    client: httpx.AsyncClient

    async def deliver(self, body: bytes, **how: Any) -> httpx.Response:
        """Deliver a body as Clerk's sender does."""
        return await self.client.post("/webhooks/clerk", content=body, headers=signed(body, **how))

    async def ensure(self, person: Person, token: str = factories.TOKEN, **more: Any) -> httpx.Response:
        """Ask for a user as the chat backend does."""
        return await self.client.post(
            "/ensure-user",
            json={"clerk_id": person.clerk_id, **more},
            headers={"Authorization": f"Bearer {token}"},
        )


@dataclass(frozen=True)
class Chat:
    """The chat's memory, as the chat backend uses it; with a session token, as a signed-in user does."""

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
        """A body as it stands."""
        headers = self._headers | {"Content-Type": "application/json"}
        return await self.client.request(method, path, content=body, headers=headers)

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@asynccontextmanager
async def in_process(app: Starlette) -> AsyncIterator[Service]:
    """An application with its lifespan entered, which httpx's transport leaves out."""
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=True),
            base_url="http://test",
            event_hooks={"response": [_look_through]},
        ) as client,
    ):
        yield Service(client)


async def _look_through(answer: httpx.Response) -> None:
    await answer.aread()
    assert_discreet(answer.status_code, answer.headers.raw, answer.content)


@dataclass
class ServerProcess:
    """`python -m app serve` on a port of its own."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit code that follows."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool], seconds: float = 40.0) -> None:
    """Poll until it holds; an AssertionError when it does not in time."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, "it did not come about in time"
        time.sleep(0.02)


def answers(url: str, path: str = "/readyz", status: int = 200) -> Callable[[], bool]:
    def asked() -> bool:
        try:
            return httpx.get(url + path, trust_env=False).status_code == status
        except httpx.TransportError:
            return False

    return asked


@asynccontextmanager
async def talking_to(server: ServerProcess) -> AsyncIterator[Service]:
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(
        base_url=server.url,
        timeout=20.0,
        limits=limits,
        trust_env=False,
        event_hooks={"response": [_look_through]},
    ) as client:
        yield Service(client)
