"""Clerk's sender and the chat backend: what they send, when they send it again, and how they record the result.

Svix documentation, "Retries": eight attempts over 28 hours, and anything but a 2xx within 15 s is a failure. The
schedule is compressed to seconds; each attempt has the same id, and a timestamp and a signature of its own.
"""

import asyncio
import json
import random
import time
from dataclasses import replace
from typing import Any

import httpx

from app.clerk.signatures import sign
from tools.chaos import workload
from tools.chaos.history import ENSURE, History, Operation, Result
from tools.chaos.servers import Server, Servers
from tools.chaos.workload import Event, Workload

SCHEDULE = (0.0, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0, 4.0)
TIMEOUT_SECONDS = 15.0
# After a timeout Svix waits for longer than after a 503.
TIMED_OUT_FACTOR = 2.0
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout)
SECRETS = (
    workload.API_KEY,
    workload.TOKEN,
    workload.DATABASE_PASSWORD,
    *(secret.decode() for secret in workload.SECRETS),
)


class Reset(Exception):
    """No response, from a process that was not killed."""


class Sender:
    """Sends to a random server that listens, as a router would."""

    def __init__(self, servers: Servers, history: History, workload: Workload) -> None:
        self._servers = servers
        self._history = history
        self._workload = workload
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._client = httpx.AsyncClient(limits=limits, timeout=None, trust_env=False)  # The timeout is ours.
        self.accepted: set[Event] = set()

    async def close(self) -> None:
        await self._client.aclose()

    async def deliver(self, event: Event, *, to: Server | None = None, actor: str = "") -> bool:
        """Attempt the delivery until it is accepted; return whether it was."""
        rng = self._workload.random_for(event.svix_id + actor)
        factor = 1.0
        for wait in SCHEDULE:
            await asyncio.sleep(wait * factor * rng.uniform(0.8, 1.2))
            done = await self.try_once(event, rng, to=to)
            if done.result == "ok":
                return True
            factor = TIMED_OUT_FACTOR if done.result == "unknown" and done.seconds >= TIMEOUT_SECONDS else 1.0
        return False

    async def try_once(self, event: Event, rng: random.Random, *, to: Server | None = None) -> Operation:
        """One delivery, signed with one of the two secrets that are good during a rotation."""
        headers = sign(rng.choice(workload.SECRETS), event.svix_id, int(time.time()), event.body)
        done = await self._ask(self._route(rng, to), "/webhooks/clerk", event, headers, event.body)
        if done.result == "ok":
            self.accepted.add(event)
        return done

    async def ensure(self, clerk_id: str, rng: random.Random, *, to: Server | None = None) -> Operation:
        """Call ensure-user, as the chat backend does."""
        call = Event("", ENSURE, clerk_id, b"")
        profile = {"clerk_id": clerk_id, "email": workload.email(clerk_id), "name": workload.name(clerk_id, 0)}
        headers = {"Authorization": f"Bearer {workload.TOKEN}"}
        body = json.dumps(profile).encode()
        return await self._ask(self._route(rng, to), "/ensure-user", call, headers, body)

    def _route(self, rng: random.Random, to: Server | None) -> list[Server]:
        """The servers for a request, in this order: the next one if nothing listens at the one before."""
        return [to] if to else rng.sample(self._servers.all, len(self._servers.all))

    async def _ask(
        self, route: list[Server], path: str, event: Event, headers: dict[str, str], body: bytes
    ) -> Operation:
        began = time.monotonic()
        response: httpx.Response | None = None
        result: Result = "unknown"
        reset = False
        headers |= {"Content-Type": "application/json"}
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                response = await self._post(route, path, headers, body)
            gone = event.kind == ENSURE and response.status_code == httpx.codes.GONE
            result = "ok" if response.is_success or gone else "fail"
        except NOT_SENT:
            result = "fail"
        except (httpx.TransportError, TimeoutError):
            pass
        except Reset:
            reset = True
        return self._history.add(replace(_operation(event, result, response, began), reset=reset))

    async def _post(self, route: list[Server], path: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        server, *others = route
        pid = server.pid
        server.in_flight += 1
        try:
            return await self._client.post(server.url + path, content=body, headers=headers)
        except NOT_SENT:
            if not others:
                raise
        except httpx.TransportError as error:
            if pid and pid not in self._servers.killed:
                raise Reset from error
            raise
        finally:
            server.in_flight -= 1
        return await self._post(others, path, headers, body)


def _operation(event: Event, result: Result, response: httpx.Response | None, began: float) -> Operation:
    return Operation(
        kind=event.kind,
        clerk_id=event.clerk_id,
        result=result,
        status=response.status_code if response else 0,
        began=began,
        seconds=time.monotonic() - began,
        version=event.version,
        assistant_id=_assistant_id(response) if response and event.kind == ENSURE else None,
        retry_after=response.headers.get("Retry-After") if response else None,
        leaked=response is not None and leaks(response, event),
    )


def _assistant_id(response: httpx.Response) -> str | None:
    content: dict[str, Any] = response.json() if response.is_success else {}
    return content.get("assistant_id")


def leaks(response: httpx.Response, event: Event) -> bool:
    """Only ensure-user returns personal data, and only of the user in its request."""
    text = response.text + str(response.headers)
    if event.kind == ENSURE and response.is_success:
        user = response.json()
        text = text.replace(str(user["email"]), "").replace(str(user["name"]), "")
        if user["clerk_id"] != event.clerk_id or user["email"] not in (None, workload.email(event.clerk_id)):
            return True
    return "canary" in text.lower() or any(canary in text for canary in SECRETS)
