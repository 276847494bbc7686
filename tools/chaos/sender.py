"""Clerk's sender and the chat backend: what they send, when they send it again, and how they record the result.

Svix documentation, "Retries": eight attempts over 28 hours, and anything but a 2xx within 15 s is a failure. The
schedule is compressed to seconds; each attempt has the same id, and a timestamp and a signature of its own.
"""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import httpx

from app.clerk.signatures import sign
from tools.chaos import workload
from tools.chaos.history import APPEND, ENSURE, OPEN, PAGE, READ, History, Operation, Result
from tools.chaos.servers import Server, Servers
from tools.chaos.workload import Event, Workload

SCHEDULE = (0.0, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0, 4.0)
TIMEOUT_SECONDS = 15.0
# After a timeout Svix waits for longer than after a 503.
TIMED_OUT_FACTOR = 2.0
# Of an append under ids, until it is given up; how often it is sent twice at once, or once more after its answer.
REPETITIONS = (0.0, 0.1, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0)
TWICE = 0.15
AUTHORIZED = {"Authorization": f"Bearer {workload.TOKEN}"}
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
        done = await self._ask(self._route(rng, to), "/webhooks/clerk", event, headers)
        if done.result == "ok":
            self.accepted.add(event)
        return done

    async def ensure(self, clerk_id: str, rng: random.Random, *, to: Server | None = None) -> Operation:
        """Call ensure-user, as the chat backend does."""
        profile = {"clerk_id": clerk_id, "email": workload.email(clerk_id), "name": workload.name(clerk_id, 0)}
        call = Event("", ENSURE, clerk_id, json.dumps(profile).encode())
        return await self._ask(self._route(rng, to), "/ensure-user", call, dict(AUTHORIZED))

    async def open_session(
        self, clerk_id: str, rng: random.Random, *, key: str = "conversation", to: Server | None = None
    ) -> Operation:
        """Open the one session of a user under this key; a repetition means the same one."""
        call = Event(key, OPEN, clerk_id, b"{}")
        headers = {**AUTHORIZED, "Idempotency-Key": key}
        return await self._ask(self._route(rng, to), f"/users/{clerk_id}/sessions", call, headers)

    async def append(
        self, clerk_id: str, session_id: str, texts: Sequence[str], rng: random.Random, *, to: Server | None = None
    ) -> Operation:
        """Append one message or several, once, without ids."""
        return await self._append(clerk_id, session_id, texts, rng, to)

    async def append_until_answered(
        self, clerk_id: str, session_id: str, texts: Sequence[str], rng: random.Random, *, to: Server | None = None
    ) -> None:
        """Append under ids, again and again until there is an answer, and now and then once more or twice at once.

        Only the first try goes to the server that is named.
        """
        for number, wait in enumerate(REPETITIONS):
            await asyncio.sleep(wait * rng.uniform(0.8, 1.2))
            server = None if number else to
            again = 2 if rng.random() < TWICE else 1
            done = await asyncio.gather(
                *(self._append(clerk_id, session_id, texts, rng, server, with_ids=True) for _ in range(again))
            )
            if any(one.result == "ok" for one in done) and rng.random() > TWICE:
                return

    async def _append(
        self,
        clerk_id: str,
        session_id: str,
        texts: Sequence[str],
        rng: random.Random,
        to: Server | None,
        *,
        with_ids: bool = False,
    ) -> Operation:
        """A text stands in one session, so the id can come from it."""
        ids = [{"id": str(uuid5(NAMESPACE_OID, text))} if with_ids else {} for text in texts]
        messages = [{"role": "user", "content": text, **one} for text, one in zip(texts, ids, strict=True)]
        path, content = ("", messages[0]) if len(messages) == 1 else ("/batch", {"messages": messages})
        call = Event("", APPEND, clerk_id, json.dumps(content).encode(), session_id=session_id, texts=tuple(texts))
        return await self._ask(self._route(rng, to), f"/sessions/{session_id}/messages{path}", call, dict(AUTHORIZED))

    async def read(self, clerk_id: str, session_id: str, rng: random.Random, *, to: Server | None = None) -> Operation:
        """Read the last messages of a session."""
        call = Event("", READ, clerk_id, b"", session_id=session_id)
        return await self._ask(
            self._route(rng, to), f"/sessions/{session_id}/messages?limit={PAGE}", call, dict(AUTHORIZED)
        )

    def any_server(self, rng: random.Random) -> Server:
        return rng.choice(self._servers.all)

    def _route(self, rng: random.Random, to: Server | None) -> list[Server]:
        """The servers for a request, in this order: the next one if nothing listens at the one before."""
        return [to] if to else rng.sample(self._servers.all, len(self._servers.all))

    async def _ask(self, route: list[Server], path: str, event: Event, headers: dict[str, str]) -> Operation:
        began = time.monotonic()
        response: httpx.Response | None = None
        result: Result = "unknown"
        reset = False
        headers |= {"Content-Type": "application/json"}
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                response = await self._send(route, path, headers, event.body)
            gone = event.kind == ENSURE and response.status_code == httpx.codes.GONE
            result = "ok" if response.is_success or gone else "fail"
        except NOT_SENT:
            result = "fail"
        except (httpx.TransportError, TimeoutError):
            pass
        except Reset:
            reset = True
        return self._history.add(replace(_operation(event, result, response, began), reset=reset))

    async def _send(self, route: list[Server], path: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        """A POST, or a GET without a body."""
        server, *others = route
        pid = server.pid
        server.in_flight += 1
        try:
            method = "POST" if body else "GET"
            return await self._client.request(method, server.url + path, content=body, headers=headers)
        except NOT_SENT:
            if not others:
                raise
        except httpx.TransportError as error:
            if pid and pid not in self._servers.killed:
                raise Reset from error
            raise
        finally:
            server.in_flight -= 1
        return await self._send(others, path, headers, body)


def _operation(event: Event, result: Result, response: httpx.Response | None, began: float) -> Operation:
    content = response.json() if response is not None and response.is_success else {}
    return Operation(
        kind=event.kind,
        clerk_id=event.clerk_id,
        result=result,
        status=response.status_code if response else 0,
        began=began,
        seconds=time.monotonic() - began,
        version=workload.version_of(content.get("name")) if event.kind == ENSURE else event.version,
        assistant_id=content.get("assistant_id") if event.kind == ENSURE else None,
        retry_after=response.headers.get("Retry-After") if response else None,
        session_id=content["id"] if event.kind == OPEN and content else event.session_id,
        key=event.svix_id if event.kind == OPEN else "",
        texts=tuple(one["content"] for one in content.get("messages", ())) if event.kind == READ else event.texts,
        leaked=response is not None and leaks(response, event),
    )


def leaks(response: httpx.Response, event: Event) -> bool:
    """Only ensure-user and the chat's routes return personal data, and only what was asked for."""
    text = response.text + str(response.headers)
    if response.is_success and event.kind == ENSURE:
        user = response.json()
        text = text.replace(str(user["email"]), "").replace(str(user["name"]), "")
        if user["clerk_id"] != event.clerk_id or user["email"] not in (None, workload.email(event.clerk_id)):
            return True
    elif response.is_success and event.kind in (APPEND, READ):
        return _is_of_another_session(response.json(), event)
    return "canary" in text.lower() or any(canary in text for canary in SECRETS)


def _is_of_another_session(content: dict[str, Any], event: Event) -> bool:
    """Whether messages are others than those appended, or of another session than the one that was read."""
    messages = content.get("messages", [content])
    texts = tuple(message["content"] for message in messages)
    if event.kind == APPEND and texts != event.texts:
        return True
    return any(message["session_id"] != event.session_id for message in messages) or not all(
        workload.is_text_of(event.clerk_id, text) for text in texts
    )
