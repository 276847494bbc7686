"""Many callers, one statement: which items share a batch, and what each caller gets when a batch fails."""

import asyncio
from collections.abc import Sequence

import pytest

from app.errors import DatabaseDown, InvalidRequest, LockTimeout
from app.postgres.batcher import CAPACITY, Batcher

pytestmark = pytest.mark.anyio


class Recorder:
    """Serves numbers; `answer` says what becomes of each, in a batch and alone."""

    def __init__(self, *, failing: Exception | None = None, alone: frozenset[int] = frozenset()) -> None:
        self.batches: list[list[int]] = []
        self.served_alone: list[int] = []
        self.started, self.go_on = asyncio.Event(), asyncio.Event()
        self.go_on.set()
        self._failing = failing
        self._alone = alone

    async def run(self, items: Sequence[int]) -> list[str | None]:
        self.batches.append(list(items))
        self.started.set()
        await self.go_on.wait()
        if self._failing is not None and len(items) > 1:
            raise self._failing
        return [None if item in self._alone else f"batch {item}" for item in items]

    async def run_alone(self, item: int) -> str:
        self.served_alone.append(item)
        if item < 0:
            raise InvalidRequest("shape")
        return f"alone {item}"

    def batcher(self, **options: object) -> Batcher[int, str]:
        return Batcher(self.run, self.run_alone, **options)  # type: ignore[arg-type]  # Options of the test's own.


async def test_callers_during_a_batch_share_the_next_one() -> None:
    recorder = Recorder()
    batcher = recorder.batcher()

    results = await asyncio.gather(*(batcher.submit(number) for number in range(5)))

    assert results == [f"batch {number}" for number in range(5)]
    recorder.started.clear()
    recorder.go_on.clear()
    late = [asyncio.create_task(batcher.submit(number)) for number in (7, 8)]
    await recorder.started.wait()
    late += [asyncio.create_task(batcher.submit(number)) for number in (9, 10, 11)]
    await asyncio.sleep(0)
    recorder.go_on.set()
    await asyncio.gather(*late)
    assert recorder.batches == [[0, 1, 2, 3, 4], [7, 8], [9, 10, 11]]


async def test_items_of_one_key_are_never_in_one_batch_and_keep_their_order() -> None:
    recorder = Recorder()
    batcher = recorder.batcher(key=lambda number: number % 10)

    await asyncio.gather(*(batcher.submit(number) for number in (1, 11, 2, 21)))

    assert recorder.batches == [[1, 2], [11], [21]]


async def test_a_batch_is_bounded() -> None:
    recorder = Recorder()
    batcher = recorder.batcher()

    await asyncio.gather(*(batcher.submit(number) for number in range(CAPACITY + 3)))

    assert [len(batch) for batch in recorder.batches] == [CAPACITY, 3]


async def test_a_batch_is_bounded_by_the_weight_of_its_items() -> None:
    """An item that alone weighs more is a batch by itself."""
    recorder = Recorder()
    batcher = recorder.batcher(weight=lambda number: number, capacity=10)

    await asyncio.gather(*(batcher.submit(number) for number in (4, 6, 1, 30, 2, 3)))

    assert recorder.batches == [[4, 6], [1], [30], [2, 3]]


async def test_items_of_one_key_keep_their_order_where_one_does_not_fit() -> None:
    """The lighter one, which would fit, waits behind the heavier one of its key."""
    recorder = Recorder()
    batcher = recorder.batcher(key=lambda number: number % 10, weight=lambda number: number, capacity=30)

    await asyncio.gather(*(batcher.submit(number) for number in (21, 12, 2, 1)))

    assert recorder.batches == [[21], [12, 1], [2]]


async def test_a_crowd_of_one_key_does_not_delay_another() -> None:
    recorder = Recorder()
    batcher = recorder.batcher(key=lambda number: number % 10, weight=lambda _: 10, capacity=30)

    await asyncio.gather(*(batcher.submit(number) for number in (1, 11, 21, 31, 41, 51, 61, 2)))

    assert recorder.batches[0] == [1, 2]


async def test_what_is_still_queued_when_its_caller_leaves_is_not_served() -> None:
    """The caller was told that nothing was done."""
    recorder = Recorder()
    recorder.go_on.clear()
    batcher = recorder.batcher()
    first = asyncio.create_task(batcher.submit(1))
    await recorder.started.wait()
    leaving, staying = (asyncio.create_task(batcher.submit(number)) for number in (2, 3))
    await asyncio.sleep(0)
    leaving.cancel()
    recorder.go_on.set()

    assert (await first, await staying) == ("batch 1", "batch 3")
    assert recorder.batches == [[1], [3]]


async def test_items_are_served_alone_one_at_a_time() -> None:
    """So that waits for locks take one connection."""
    running: list[int] = []

    async def run_alone(item: int) -> str:
        running.append(item)
        await asyncio.sleep(0)
        assert running == [item]
        running.clear()
        return str(item)

    async def leave_out(items: Sequence[int]) -> list[str | None]:
        return [None for _ in items]

    batcher = Batcher(leave_out, run_alone, key=lambda number: number)

    assert await asyncio.gather(*(batcher.submit(number) for number in range(4))) == ["0", "1", "2", "3"]


async def test_those_behind_a_wait_for_a_lock_that_was_in_vain_fail_with_it() -> None:
    """They would wait as long for the same row; another row is still tried, and so is the same one later."""
    tried: list[int] = []

    async def run_alone(item: int) -> str:
        tried.append(item)
        await asyncio.sleep(0)
        if item < 20:
            raise LockTimeout
        return str(item)

    async def leave_out(items: Sequence[int]) -> list[str | None]:
        return [None for _ in items]

    batcher = Batcher(leave_out, run_alone, key=lambda number: number % 10)
    numbers = (1, 11, 22, 21)

    results = await asyncio.gather(*(batcher.submit_alone(number) for number in numbers), return_exceptions=True)

    assert [type(result) for result in results] == [LockTimeout, LockTimeout, str, LockTimeout]
    assert tried == [1, 22]
    assert await batcher.submit_alone(21) == "21"


async def test_an_item_that_its_batch_leaves_out_is_served_alone() -> None:
    recorder = Recorder(alone=frozenset([2]))
    batcher = recorder.batcher()

    results = await asyncio.gather(*(batcher.submit(number) for number in (1, 2, 3)))

    assert results == ["batch 1", "alone 2", "batch 3"]


async def test_one_bad_item_fails_alone_and_its_neighbours_succeed() -> None:
    recorder = Recorder(failing=InvalidRequest("unstorable_text"))
    batcher = recorder.batcher()

    good, bad, other = await asyncio.gather(*(batcher.submit(n) for n in (1, -2, 3)), return_exceptions=True)

    assert (good, other) == ("alone 1", "alone 3")
    assert isinstance(bad, InvalidRequest)


@pytest.mark.parametrize("given", [[], ["one"], ["one", "two"]])
async def test_a_batch_with_too_few_results_leaves_no_caller_waiting(given: list[str]) -> None:
    """A row with a key that nobody asked for would hold up every caller of the process."""

    async def run(_: Sequence[int]) -> list[str | None]:
        return list(given)

    batcher: Batcher[int, str] = Batcher(run, Recorder().run_alone)

    async with asyncio.timeout(5):
        results = await asyncio.gather(*(batcher.submit(number) for number in (1, 2, 3)), return_exceptions=True)

    assert any(isinstance(result, ValueError) for result in results)
    assert {type(result) for result in results} <= {ValueError, str}


@pytest.mark.parametrize("error", [DatabaseDown(), LockTimeout()], ids=lambda error: error.reason)
async def test_an_outage_or_a_locked_table_fails_the_callers_in_the_queue_too(error: Exception) -> None:
    recorder = Recorder(failing=error)
    recorder.go_on.clear()
    batcher = recorder.batcher()
    calls = [asyncio.create_task(batcher.submit(number)) for number in (1, 2)]
    await recorder.started.wait()
    calls += [asyncio.create_task(batcher.submit(number)) for number in (3, 4)]
    await asyncio.sleep(0)
    recorder.go_on.set()

    results = await asyncio.gather(*calls, return_exceptions=True)

    assert results == [error] * 4
    assert recorder.batches == [[1, 2]]


async def test_a_cancelled_caller_costs_the_others_nothing() -> None:
    recorder = Recorder()
    batcher = recorder.batcher()
    recorder.go_on.clear()
    impatient, patient = (asyncio.create_task(batcher.submit(number)) for number in (1, 2))
    await recorder.started.wait()

    impatient.cancel()
    recorder.go_on.set()

    assert await patient == "batch 2"
