"""`python -m tests.support.kill_at_each_await sign_up|open_session NUMBER LOG`: kill -9 at each await of a request.

It forks a child that makes one request to the service in its own process and kills itself with -9 at the first await of
the attempt, then one that dies at the second, and so on, until a child survives all of them. After each death another
child makes the request again, as Clerk's sender or the chat backend would, until it succeeds. The service has no code
for this: a task factory steps the coroutine and counts. `test_processes` runs it.
"""

import asyncio
import os
import signal
import sys
import types
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import uvloop

from app import settings
from app.application import create_app
from app.log import configure
from tests.support.factories import Person, user_created
from tests.support.service import Chat, Service, in_process

TRIES = {"Provisioning._provision", "open_session"}
REPETITIONS = 20

# Given the service, a number and how many deaths there were.
Ask = Callable[..., Coroutine[Any, Any, httpx.Response]]


async def sign_up(service: Service, number: int, death: int) -> httpx.Response:
    """A new user for each death; the attempt is a task of its own."""
    return await service.deliver(user_created(Person(number + death + 1)))


async def open_session(service: Service, number: int, death: int) -> httpx.Response:
    """The same user, another idempotency key for each death."""
    return await Chat(service.client).open(Person(number), key=f"death {death}")


@types.coroutine
def dying(coroutine: Coroutine[Any, Any, Any], at: int) -> Generator[Any, Any, Any]:
    """Drive a coroutine, and die at its `at`-th stop: odd stops are before an await, even ones after it."""
    stops = 0
    step = partial(coroutine.send, None)
    while True:
        try:
            waits_for = step()
        except StopIteration as end:
            return end.value
        stops = _die_or_count(stops, at)
        try:
            step = partial(coroutine.send, (yield waits_for))
        except BaseException as thrown:  # noqa: BLE001  # A cancellation inside the HTTP client, which handles it.
            step = partial(coroutine.throw, thrown)
        stops = _die_or_count(stops, at)


def _die_or_count(stops: int, at: int) -> int:
    if stops + 1 == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return stops + 1


def dies_at(at: int) -> Any:
    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **named: Any) -> asyncio.Task[Any]:
        if getattr(coroutine, "__qualname__", "") in TRIES:
            coroutine = _as_coroutine(coroutine, at)
        return asyncio.Task(coroutine, loop=loop, **named)

    return factory


async def _as_coroutine(coroutine: Coroutine[Any, Any, Any], at: int) -> Any:
    return await dying(coroutine, at)


async def _make(request: Callable[[Service], Coroutine[Any, Any, httpx.Response]], at: int | None) -> bool:
    if at is not None:
        asyncio.get_running_loop().set_task_factory(dies_at(at))
    async with in_process(create_app(settings.load(settings.Settings))) as service:
        return (await asyncio.create_task(request(service))).is_success


def _in_child(request: Callable[[Service], Coroutine[Any, Any, httpx.Response]], at: int | None) -> bool | None:
    """Whether the request succeeded; None when the child was killed."""
    child = os.fork()
    if child == 0:
        succeeded = False
        try:
            succeeded = uvloop.run(_make(request, at))
        finally:
            os._exit(0 if succeeded else 1)
    _, ended = os.waitpid(child, 0)
    return None if os.WIFSIGNALED(ended) else os.waitstatus_to_exitcode(ended) == 0


def main(ask: Ask, number: int, log: Path) -> int:
    """Print how many deaths there were; fail when no repetition succeeded."""
    with log.open("a") as stream:
        configure("logfmt", "info", stream=stream)
        deaths = 0
        while True:
            request = partial(ask, number=number, death=deaths)
            lived = _in_child(request, deaths + 1)
            if not lived and not any(_in_child(request, None) for _ in range(REPETITIONS)):
                print(f"after death {deaths + 1} no repetition succeeded")
                return 1
            if lived is not None:
                break
            deaths += 1
    print(deaths)
    return 0 if lived else 1


if __name__ == "__main__":
    asks: dict[str, Ask] = {"sign_up": sign_up, "open_session": open_session}
    sys.exit(main(asks[sys.argv[1]], int(sys.argv[2]), Path(sys.argv[3])))
