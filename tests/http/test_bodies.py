"""The memory of large bodies: bounded for all, for each signed-in user, and for senders who are not known yet."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from starlette.types import ASGIApp

from app.http.bodies import BodyBudget
from app.http.memory import SHARE_BYTES, SMALL_BYTES, TOTAL_BYTES
from app.http.responses import HttpError
from tests.support import asgi
from tests.support.asgi import Answer, Headers, Log, ask

MESSAGES = "/sessions/00000000-0000-4000-8000-000000000000/messages"
MIB = 1024 * 1024
SIGNATURE = [header for header in asgi.delivery(b"") if header[0].startswith(b"svix-")]


def reserved(budget: BodyBudget, owner: str | None, size: int) -> dict[str, Any] | None:
    """The scope of a request whose body is counted, None for one that is refused."""
    scope: dict[str, Any] = {}
    try:
        budget.reserve(scope, size, owner)
    except HttpError:
        return None
    return scope


@pytest.mark.parametrize(("owner", "most"), [(None, TOTAL_BYTES), ("user_a", SHARE_BYTES), ("strangers", SHARE_BYTES)])
def test_large_bodies_of_one_owner_are_bounded(owner: str | None, most: int) -> None:
    """Service tokens may take all of the memory, one signed-in user a quarter."""
    budget = BodyBudget()

    scopes = [reserved(budget, owner, MIB) for _ in range(100)]

    assert sum(scope is not None for scope in scopes) == most // MIB


def test_a_user_leaves_memory_to_others() -> None:
    """All together are bounded too."""
    budget = BodyBudget()

    counts = [sum(reserved(budget, user, MIB) is not None for _ in range(100)) for user in "abcde"]

    assert counts == [16, 16, 16, 16, 0]


def test_memory_is_free_again_when_a_request_has_been_answered() -> None:
    """Once for each, also for one without a large body."""
    budget = BodyBudget()
    scopes = [scope for _ in range(16) if (scope := reserved(budget, "user_a", MIB))]

    budget.release(scopes[0])
    budget.release(scopes[0])
    budget.release({})

    assert [reserved(budget, "user_a", MIB) is not None for _ in range(2)] == [True, False]


def unfinished(app: ASGIApp, headers: Headers, size: int, path: str) -> Coroutine[Any, Any, Answer]:
    """A request that sends so much of its body and no more."""
    return ask(app, asgi.HOST + asgi.JSON + headers, b" " * size, path=path, then="silence")


@pytest.mark.anyio
async def test_a_large_body_is_503_while_too_many_are_under_way(app: ASGIApp, log: Log) -> None:
    """Small ones are served; when a client leaves, the next large one is."""
    length = [(b"content-length", b"1048576")]
    waiting = [
        asyncio.create_task(unfinished(app, asgi.BEARER + length, SMALL_BYTES + 1, MESSAGES))
        for _ in range(TOTAL_BYTES // MIB)
    ]
    await asyncio.sleep(0)

    refused = await unfinished(app, asgi.BEARER, SMALL_BYTES + 1, MESSAGES)
    asgi.assert_refused(refused, log.line(), 503, "large_bodies")
    small = await ask(app, asgi.HOST + asgi.JSON + asgi.BEARER, b" " * (SMALL_BYTES - 1), b" ", path=MESSAGES)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    log.lines()
    next_large = await ask(app, asgi.HOST + asgi.JSON + asgi.BEARER, b" " * 100_000, b" ", path=MESSAGES)

    assert (refused.header(b"retry-after"), refused.header(b"connection")) == (b"1", b"close")
    assert (small.status, next_large.status) == (422, 422)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "headers",
    [[], asgi.raw({"svix-id": "msg_1"}), SIGNATURE * 2, asgi.raw({"svix-id": "a", "svix-timestamp": "x"})],
    ids=["none", "one of three", "each twice", "malformed"],
)
async def test_a_sender_without_three_good_headers_gets_64_kib(app: ASGIApp, log: Log, headers: Headers) -> None:
    """The body would be refused in any case; with the headers of a delivery it may have 256 KiB."""
    fits = await ask(app, asgi.HOST + asgi.JSON + headers, b" " * 65_536)
    asgi.assert_refused(fits, log.line(), 400, "headers")

    larger = await ask(app, asgi.HOST + asgi.JSON + headers, b" " * 65_537)

    asgi.assert_refused(larger, log.line(), 413, "too_large")


@pytest.mark.anyio
async def test_deliveries_under_way_leave_memory_to_the_chat(app: ASGIApp, log: Log) -> None:
    """Their senders are strangers until the body has been read: all of them together have a share."""
    count = SHARE_BYTES // (256 * 1024)
    waiting = [
        asyncio.create_task(unfinished(app, SIGNATURE, SMALL_BYTES + 1, "/webhooks/clerk")) for _ in range(count)
    ]
    await asyncio.sleep(0)

    # One that is not refused would wait for the rest of its body.
    async with asyncio.timeout(5):
        refused = await unfinished(app, SIGNATURE, SMALL_BYTES + 1, "/webhooks/clerk")
    asgi.assert_refused(refused, log.line(), 503, "large_bodies")
    chat = await ask(app, asgi.HOST + asgi.JSON + asgi.BEARER, b" " * 100_000, b" ", path=MESSAGES)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    assert chat.status == 422
