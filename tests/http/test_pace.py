"""How slowly a client may read: what it takes, looked at once a second, and when it is cut."""

from collections.abc import Callable

import pytest

from app.http.pace import ReadingPace

KB = 1024
MB = 1024 * KB


def cut_at(taken_at: Callable[[int], int], *, written: Callable[[int], int] = lambda _: 4 * MB) -> int | None:
    """The second in which a client is cut that has taken so many bytes of so many by each second; None if it is not."""
    pace = ReadingPace()
    for now in range(100):
        if pace.is_too_slow(now, written=written(now), unsent=written(now) - min(taken_at(now), written(now))):
            return now
    return None


READERS: dict[str, tuple[Callable[[int], int], int | None]] = {
    "takes nothing": (lambda _: 0, 10),
    "takes nothing any more": (lambda now: min(now, 20) * 100 * KB, 30),
    "one byte a second": (lambda now: now, 30),
    "2 KB a second": (lambda now: now * 2 * KB, 30),
    "a byte in every nine seconds": (lambda now: now // 9, 30),
    "60 KB a second": (lambda now: now * 60 * KB, None),
    "5 KB a second": (lambda now: now * 5 * KB, None),
    "5 KB a second, told in steps of 32": (lambda now: now * 5 // 32 * 32 * KB, None),
    "fast at first, then 1 KB a second": (lambda now: min(now, 20) * 100 * KB + now * KB, 60),
    "slow for 20 s, then fast": (lambda now: max(0, now - 20) * 100 * KB + now, None),
    "all at once": (lambda _: 4 * MB, None),
}


@pytest.mark.parametrize(("taken_at", "second"), READERS.values(), ids=READERS)
def test_a_client_that_reads_too_slowly_is_cut(taken_at: Callable[[int], int], second: int | None) -> None:
    """10 s without a byte, or less than 96 KiB in 30 s."""
    assert cut_at(taken_at) == second


def test_a_client_that_reads_as_fast_as_is_written_is_not_cut() -> None:
    """As much is unsent at each look as at the one before."""
    assert cut_at(lambda now: now * 10 * KB, written=lambda now: now * 10 * KB + 64 * KB) is None


def test_a_client_that_has_taken_all_has_its_time_anew() -> None:
    """A stream that has nothing to say is not the client's fault, nor is one small piece in a while."""
    assert cut_at(lambda now: 100 * (now // 5), written=lambda now: 100 * (now // 5) + 100 * (now % 5 == 0)) is None
