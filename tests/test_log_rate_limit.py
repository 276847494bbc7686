"""Lines that a stranger can cause by the thousand: ten a second for each reason, the others counted in one."""

import asyncio
from collections.abc import Callable

import pytest

from app.log import RateLimit
from tests.support.factories import Person
from tests.support.service import connected_to
from tools.processes import ServerProcess

pytestmark = pytest.mark.anyio


async def test_lines_beyond_the_limit_are_counted_by_reason() -> None:
    reported: list[tuple[str, int]] = []
    limit = RateLimit(10, lambda *counted: reported.append(counted))

    written = [
        sum([limit.allows(reason) for _ in range(number)]) for reason, number in (("a", 25), ("b", 11), ("c", 10))
    ]
    limit.flush()

    assert written == [10, 10, 10]
    assert reported == [("a", 15), ("b", 1)]


async def test_the_count_is_reported_when_its_second_is_over() -> None:
    """And the next second has its own lines."""
    reported = asyncio.get_running_loop().create_future()
    limit = RateLimit(1, lambda *counted: reported.set_result(counted))
    first = [limit.allows("a") for _ in range(3)]

    counted = await asyncio.wait_for(reported, 10)

    assert (first, counted, limit.allows("a")) == ([True, False, False], ("a", 2), True)


async def test_counts_are_written_when_the_process_ends(start_server: Callable[..., ServerProcess]) -> None:
    server = start_server()
    async with connected_to(server) as service:
        for _ in range(15):
            await service.ensure(Person(), token="wrong")

    server.stop()

    assert "event=refusals reason=token count=5" in server.log.read_text()
