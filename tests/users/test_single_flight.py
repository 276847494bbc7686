"""One run for all callers of a key; it outlives cancelled callers."""

import asyncio
import gc
from typing import Any

import pytest

from app.users.single_flight import SingleFlight

pytestmark = pytest.mark.anyio


class Work:
    """Counts its runs; each ends when `finish` is set, with its number or with `error`."""

    def __init__(self, error: Exception | None = None) -> None:
        self.runs = 0
        self.finish = asyncio.Event()
        self.error = error

    async def __call__(self) -> int:
        self.runs += 1
        await self.finish.wait()
        if self.error is not None:
            raise self.error
        return self.runs


async def start(flight: SingleFlight[int], work: Work, *keys: str) -> list[asyncio.Task[int]]:
    """Start a caller for each key, and let all of them come to wait."""
    callers = [asyncio.create_task(flight.run(key, work)) for key in keys]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return callers


async def test_concurrent_callers_of_one_key_share_one_run() -> None:
    flight, work = SingleFlight[int](), Work()
    callers = await start(flight, work, *["a"] * 20)

    work.finish.set()

    assert await asyncio.gather(*callers) == [1] * 20
    assert work.runs == 1


async def test_different_keys_run_side_by_side() -> None:
    flight, work = SingleFlight[int](), Work()

    callers = await start(flight, work, "a", "b")

    assert work.runs == 2
    assert (flight.is_running("a"), flight.is_running("b"), flight.is_running("c")) == (True, True, False)
    work.finish.set()
    await asyncio.gather(*callers)


async def test_a_cancelled_caller_leaves_the_run_to_the_others() -> None:
    """Also where the first caller is cancelled, which started the run."""
    flight, work = SingleFlight[int](), Work()
    first, second = await start(flight, work, "a", "a")

    first.cancel()
    await asyncio.wait([first])
    work.finish.set()

    assert first.cancelled()
    assert await second == 1


async def test_the_run_goes_on_when_every_caller_is_cancelled() -> None:
    """A later caller joins it."""
    flight, work = SingleFlight[int](), Work()
    callers = await start(flight, work, "a", "a")

    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    assert flight.is_running("a")
    (late,) = await start(flight, work, "a")
    work.finish.set()

    assert await late == 1
    assert work.runs == 1


async def test_an_exception_reaches_every_caller() -> None:
    flight, work = SingleFlight[int](), Work(LookupError("canary"))
    callers = await start(flight, work, "a", "a", "a")

    work.finish.set()

    assert await asyncio.gather(*callers, return_exceptions=True) == [work.error] * 3


async def test_an_exception_without_a_caller_left_is_not_reported_by_the_loop() -> None:
    """It would be a line of asyncio's in the log, "Task exception was never retrieved"."""
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    flight, work = SingleFlight[int](), Work(LookupError("canary"))
    (caller,) = await start(flight, work, "a")

    caller.cancel()
    await asyncio.wait([caller])
    work.finish.set()
    await flight.close(5.0)
    # The loop reports it when the run's task is collected, which the caller's traceback would keep alive.
    del caller
    gc.collect()

    asyncio.get_running_loop().set_exception_handler(None)
    assert reports == []


@pytest.mark.parametrize("error", [None, LookupError("canary")], ids=["success", "failure"])
async def test_the_next_call_after_the_end_runs_anew(error: Exception | None) -> None:
    flight, work = SingleFlight[int](), Work(error)
    work.finish.set()
    await asyncio.gather(*await start(flight, work, "a"), return_exceptions=True)
    assert not flight.is_running("a")

    await asyncio.gather(flight.run("a", work), return_exceptions=True)

    assert work.runs == 2


async def test_close_waits_for_the_runs_under_way() -> None:
    flight, work = SingleFlight[int](), Work()
    callers = await start(flight, work, "a", "b")
    closing = asyncio.create_task(flight.close(5.0))
    await asyncio.sleep(0.05)
    assert not closing.done()

    work.finish.set()
    await closing

    assert not flight.is_running("a")
    assert await asyncio.gather(*callers) == [2, 2]


async def test_close_gives_up_after_its_seconds() -> None:
    """The run goes on; the process is about to end anyway."""
    flight, work = SingleFlight[int](), Work()
    callers = await start(flight, work, "a")

    async with asyncio.timeout(5):
        await flight.close(0.05)

    assert flight.is_running("a")
    work.finish.set()
    await asyncio.gather(*callers)


async def test_close_without_a_run_returns_at_once() -> None:
    await SingleFlight[int]().close(5.0)
