"""Many callers, one statement: which items share a batch, and what each caller gets when a batch fails."""

import asyncio
from collections.abc import Sequence

import pytest

from app.errors import DatabaseDown, InvalidRequest
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


async def test_an_outage_fails_the_callers_in_the_queue_too() -> None:
    recorder = Recorder(failing=DatabaseDown())
    recorder.go_on.clear()
    batcher = recorder.batcher()
    calls = [asyncio.create_task(batcher.submit(number)) for number in (1, 2)]
    await recorder.started.wait()
    calls += [asyncio.create_task(batcher.submit(number)) for number in (3, 4)]
    await asyncio.sleep(0)
    recorder.go_on.set()

    results = await asyncio.gather(*calls, return_exceptions=True)

    assert all(isinstance(result, DatabaseDown) for result in results)
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
