"""Clerk's sender and the chat backend: what they send, when they send it again, and what they make of the answer.

Svix documentation, "Retries": eight tries over 28 hours, anything but a 2xx within 15 s has failed. The schedule is
compressed to seconds; each try has the same id, and a timestamp and a signature of its own.
"""

import asyncio
import json
import random
import time
from dataclasses import replace
from typing import Any

import httpx

from app.clerk.signatures import sign
from tools.chaos import lives
from tools.chaos.history import ENSURE, History, Operation, Result
from tools.chaos.lives import Message, Population
from tools.chaos.servers import Server, Servers

SCHEDULE = (0.0, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0, 4.0)
CUT_SECONDS = 15.0
# After a timeout Svix waits for longer than after a 503.
TIMED_OUT_FACTOR = 2.0
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout)
SECRET_CANARIES = (lives.API_KEY, lives.TOKEN, lives.DATABASE_PASSWORD, *(text.decode() for text in lives.SECRETS))


class Reset(Exception):
    """No answer, from a process that was not killed."""


class Sender:
    """Sends to whichever server the dice says and listens, as a router would."""

    def __init__(self, servers: Servers, history: History, population: Population) -> None:
        self._servers = servers
        self._history = history
        self._population = population
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._client = httpx.AsyncClient(limits=limits, timeout=None, trust_env=False)  # Its limit is ours.
        self.taken: set[Message] = set()

    async def close(self) -> None:
        await self._client.aclose()

    async def deliver(self, message: Message, *, to: Server | None = None, actor: str = "") -> bool:
        """All the tries, until one is taken; whether one was."""
        dice = self._population.dice_of(message.svix_id + actor)
        factor = 1.0
        for wait in SCHEDULE:
            await asyncio.sleep(wait * factor * dice.uniform(0.8, 1.2))
            done = await self.try_once(message, dice, to=to)
            if done.result == "ok":
                return True
            factor = TIMED_OUT_FACTOR if done.result == "unknown" and done.seconds >= CUT_SECONDS else 1.0
        return False

    async def try_once(self, message: Message, dice: random.Random, *, to: Server | None = None) -> Operation:
        """One delivery, signed with one of the two secrets that are good during a rotation."""
        headers = sign(dice.choice(lives.SECRETS), message.svix_id, int(time.time()), message.body)
        done = await self._ask(self._route(dice, to), "/webhooks/clerk", message, headers, message.body)
        if done.result == "ok":
            self.taken.add(message)
        return done

    async def ensure(self, clerk_id: str, dice: random.Random, *, to: Server | None = None) -> Operation:
        """The chat backend asks for a user."""
        asked = Message("", ENSURE, clerk_id, b"")
        profile = {"clerk_id": clerk_id, "email": lives.email(clerk_id), "name": lives.name(clerk_id, 0)}
        headers = {"Authorization": f"Bearer {lives.TOKEN}"}
        body = json.dumps(profile).encode()
        return await self._ask(self._route(dice, to), "/ensure-user", asked, headers, body)

    def _route(self, dice: random.Random, to: Server | None) -> list[Server]:
        """Where a request may go, in this order: the next one is for when nothing listens at the one before."""
        return [to] if to else dice.sample(self._servers.all, len(self._servers.all))

    async def _ask(
        self, route: list[Server], path: str, message: Message, headers: dict[str, str], body: bytes
    ) -> Operation:
        began = time.monotonic()
        answer: httpx.Response | None = None
        result: Result = "unknown"
        reset = False
        headers |= {"Content-Type": "application/json"}
        try:
            async with asyncio.timeout(CUT_SECONDS):
                answer = await self._post(route, path, headers, body)
            gone = message.kind == ENSURE and answer.status_code == httpx.codes.GONE
            result = "ok" if answer.is_success or gone else "fail"
        except NOT_SENT:
            result = "fail"
        except (httpx.TransportError, TimeoutError):
            pass
        except Reset:
            reset = True
        return self._history.add(replace(_operation(message, result, answer, began), reset=reset))

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


def _operation(message: Message, result: Result, answer: httpx.Response | None, began: float) -> Operation:
    return Operation(
        kind=message.kind,
        clerk_id=message.clerk_id,
        result=result,
        status=answer.status_code if answer else 0,
        began=began,
        seconds=time.monotonic() - began,
        version=message.version,
        assistant_id=_assistant_in(answer) if answer and message.kind == ENSURE else None,
        retry_after=answer.headers.get("Retry-After") if answer else None,
        leaked=answer is not None and leaks(answer, message),
    )


def _assistant_in(answer: httpx.Response) -> str | None:
    content: dict[str, Any] = answer.json() if answer.is_success else {}
    return content.get("assistant_id")


def leaks(answer: httpx.Response, message: Message) -> bool:
    """Only ensure-user says anything personal, and only of whom it was asked for."""
    said = answer.text + str(answer.headers)
    if message.kind == ENSURE and answer.is_success:
        user = answer.json()
        said = said.replace(str(user["email"]), "").replace(str(user["name"]), "")
        if user["clerk_id"] != message.clerk_id or user["email"] not in (None, lives.email(message.clerk_id)):
            return True
    return "canary" in said.lower() or any(canary in said for canary in SECRET_CANARIES)
