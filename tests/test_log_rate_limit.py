"""Lines that a stranger can cause by the thousand: ten a second for each reason and fault, the others counted."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable

import pytest

from app import log
from app.log import RateLimit, Refusal
from tests.support.factories import Person
from tests.support.log_capture import capture_log
from tests.support.service import connected_to
from tools.processes import ServerProcess

pytestmark = pytest.mark.anyio


async def test_lines_beyond_the_limit_are_counted_by_reason() -> None:
    reported: list[tuple[Refusal, int]] = []
    limit = RateLimit(10, lambda *counted: reported.append(counted))
    a, b, c = Refusal("a"), Refusal("b"), Refusal("c")

    written = [sum([limit.allows(refusal) for _ in range(number)]) for refusal, number in ((a, 25), (b, 11), (c, 10))]
    limit.flush()

    assert written == [10, 10, 10]
    assert reported == [(a, 15), (b, 1)]


Refused = list[tuple[str, str | None]]
FAULTS: dict[str, tuple[Refused, list[str]]] = {
    "forged ones do not hide an expired one": (
        [*[("token", "signature")] * 15, ("token", "expired")],
        ["reason=token fault=signature count=5"],
    ),
    "nor one whose key is unknown, and each sum is of one fault": (
        [*[("token", "shape")] * 12, *[("token", "key")] * 11],
        ["reason=token fault=shape count=2", "reason=token fault=key count=1"],
    ),
    "nor one without a fault": ([*[("token", "shape")] * 12, ("token", None)], ["reason=token fault=shape count=2"]),
    "a reason without faults is summed up as it was": ([("path", None)] * 13, ["reason=path count=3"]),
}


@pytest.mark.parametrize(("refused", "sums"), FAULTS.values(), ids=FAULTS.keys())
async def test_refused_tokens_are_counted_by_fault(
    refused: Refused, sums: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture_log() as configure:
        monkeypatch.setattr(log, "_refusals", RateLimit(log.REFUSALS_A_SECOND, log._report_refusals))
        written = configure()
        for reason, fault in refused:
            fields = log.start_request("a-request") | {"reason": reason} | ({"fault": fault} if fault else {})
            log.finish_request(fields, 401)
        log.flush_refusals()

    lines = Counter(" ".join(re.findall(r"(?:reason|fault|count)=\w+", line)) for line in written.lines)
    assert [line for line in lines if "count=" in line] == sums
    for reason, fault in set(refused):
        line = f"reason={reason} fault={fault}" if fault else f"reason={reason}"
        assert lines[line] == min(10, refused.count((reason, fault)))


async def test_the_count_is_reported_when_its_second_is_over() -> None:
    """And the next second has its own lines."""
    reported = asyncio.get_running_loop().create_future()
    limit, a = RateLimit(1, lambda *counted: reported.set_result(counted)), Refusal("a")
    first = [limit.allows(a) for _ in range(3)]

    counted = await asyncio.wait_for(reported, 10)

    assert (first, counted, limit.allows(a)) == ([True, False, False], (a, 2), True)


async def test_counts_are_written_when_the_process_ends(start_server: Callable[..., ServerProcess]) -> None:
    server = start_server()
    async with connected_to(server) as service:
        for _ in range(15):
            await service.ensure(Person(), token="wrong")

    server.stop()

    assert "event=refusals reason=token count=5" in server.log.read_text()
