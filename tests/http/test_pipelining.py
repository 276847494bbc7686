"""Requests that share a read of the socket: the size of each counts alone."""

from collections.abc import Callable

import pytest

from tests.http.test_wire import BODY, request, talk
from tests.support.factories import event
from tools.processes import ServerProcess

pytestmark = pytest.mark.anyio


async def test_half_a_head_behind_a_large_body_waits_for_its_rest(start_server: Callable[..., ServerProcess]) -> None:
    """The bytes before it in the same read do not count towards its size, and the response before it is not lost."""
    server = start_server()
    second = request(BODY)
    large = request(event("x.y", {"text": "x" * 40_000}))

    received = await talk(server, large + second[:100], second[100:], pause=0.2, seconds=0.5)

    assert (received.count(b"HTTP/1.1 200 "), received.count(b"HTTP/1.1 ")) == (2, 2)
