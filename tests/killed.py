"""A program that dies inside provisioning: `python -m tests.killed CLERK_ID WAIT` (see test_kills).

It forks a child that delivers one event to the service in its own process and kills itself with -9 at the
first await of the try, then one that dies at the second, and so on, until one lives through all of them. After
each death another child delivers the event again, as Clerk's sender would, until it is answered with a 2xx.
Nothing in the service knows of this: a task factory steps the coroutine and counts.
"""

import asyncio
import os
import signal
import sys
import types
from collections.abc import Coroutine, Generator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import uvloop

from app import logs, settings
from app.server import create_app
from tests.factories import Person, user_created
from tests.services import in_process

TRY = "Provisioning._provision"
REDELIVERIES = 20
SUCCESS = httpx.codes.OK


@types.coroutine
def dying(coroutine: Coroutine[Any, Any, Any], at: int) -> Generator[Any, Any, Any]:
    """Drive a coroutine, and die at its `at`-th stop: odd ones are before what it waits for, even ones after."""
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
        if getattr(coroutine, "__qualname__", "") == TRY:
            coroutine = _as_coroutine(coroutine, at)
        return asyncio.Task(coroutine, loop=loop, **named)

    return factory


async def _as_coroutine(coroutine: Coroutine[Any, Any, Any], at: int) -> Any:
    return await dying(coroutine, at)


async def _deliver(body: bytes, at: int | None) -> bool:
    if at is not None:
        asyncio.get_running_loop().set_task_factory(dies_at(at))
    async with in_process(create_app(settings.load(settings.Settings))) as service:
        return (await service.deliver(body)).status_code == SUCCESS


def _in_child(body: bytes, at: int | None) -> bool | None:
    """Whether the delivery succeeded; None when the child was killed."""
    child = os.fork()
    if child == 0:
        delivered = False
        try:
            delivered = uvloop.run(_deliver(body, at))
        finally:
            os._exit(0 if delivered else 1)
    _, ended = os.waitpid(child, 0)
    return None if os.WIFSIGNALED(ended) else os.waitstatus_to_exitcode(ended) == 0


def main(first_number: int, log: Path) -> int:
    """Print how many deaths there were; fail when a redelivery did not succeed."""
    with log.open("a") as stream:
        logs.configure("logfmt", "info", stream=stream)
        deaths = 0
        while True:
            body = user_created(Person(first_number + deaths + 1))
            lived = _in_child(body, deaths + 1)
            if lived is None:
                deaths += 1
            if not lived and not any(_in_child(body, None) for _ in range(REDELIVERIES)):
                print(f"after death {deaths} no redelivery succeeded")
                return 1
            if lived is not None:
                break
    print(deaths)
    return 0 if lived else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2])))
