"""The memory of large answers: bounded for all and for each caller, until their clients have taken them."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http import memory
from app.http.answers import PIECE_BYTES, AnswerBudget, answer_found, answer_stored
from app.http.memory import SHARE_BYTES, SMALL_BYTES, TOTAL_BYTES
from app.http.middleware import RequestMiddleware
from app.http.responses import HttpError
from app.metrics import Metrics
from tests.support import asgi
from tests.support.asgi import Answer, Log, ask

Asked = Coroutine[Any, Any, Answer]
MIB = 1024 * 1024


def taken(budget: AnswerBudget, *owners: str | None) -> list[int]:
    """How many MiB each of these gets, one after the other, if all want as much as there is."""
    counts = []
    for owner in owners:
        counts.append(0)
        while len(counts) < 1000:
            try:
                budget.reserve({}, MIB, owner)
            except HttpError:
                break
            counts[-1] += 1
    return counts


SHARES: dict[str, tuple[list[str | None], list[int]]] = {
    "one user": (["user_a", "user_a"], [16, 0]),
    "many users": (["user_a", "user_b", "user_c", "user_d", "user_e"], [16, 16, 16, 0, 0]),
    "the chat backend": ([None, None], [48, 0]),
    "the chat backend first": ([None, "user_a", "user_b", None], [48, 16, 0, 0]),
    "users first": (["user_a", "user_b", "user_c", "user_d", None, None], [16, 16, 16, 0, 16, 0]),
}


@pytest.mark.parametrize(("owners", "counts"), SHARES.values(), ids=SHARES)
def test_callers_leave_memory_to_each_other(owners: list[str | None], counts: list[int]) -> None:
    """A user has a quarter; the chat backend and all users each leave a quarter to the other."""
    assert taken(AnswerBudget(), *owners) == counts
    assert (SHARE_BYTES, TOTAL_BYTES) == (16 * MIB, 64 * MIB)


def test_the_answer_stands_in_the_place_of_its_reservation() -> None:
    budget = AnswerBudget()
    scope: dict[str, Any] = {}
    budget.reserve(scope, 4 * MIB, "user_a")
    budget.count(scope, MIB, "user_a")

    assert taken(budget, "user_a") == [15]
    budget.release(scope)
    budget.release(scope)
    assert taken(budget, "user_a") == [1]


LARGE = 3 * SMALL_BYTES
SIZES = {"/large": LARGE, "/just-large": SMALL_BYTES + 1, "/small": SMALL_BYTES, "/stored": LARGE}


async def answer(scope: Scope, _: Receive, send: Send) -> None:
    """An application that knows no caller: so much text, or what was stored."""
    text = "x" * (SIZES[scope["path"]] - 2)
    how = answer_stored if scope["path"] == "/stored" else answer_found
    await how(scope, send, 200, text, owner=scope["headers"][1][1].decode())


def get(app: ASGIApp, path: str, owner: str = "user_a", *, reads_on: asyncio.Event | None = None) -> Asked:
    return ask(app, [*asgi.HOST, (b"owner", owner.encode())], method="GET", path=path, reads_on=reads_on)


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many large answers of one user may be unread: fewer than in earnest, since tests read all of them."""
    monkeypatch.setattr(memory, "SHARE_BYTES", 4 * LARGE)
    return 4


@pytest.mark.anyio
async def test_a_large_answer_is_503_while_too_many_are_unread(room: int, log: Log) -> None:
    """Small ones, other users' and those of what was stored are served, and large ones when the clients read on."""
    app, reads_on = RequestMiddleware(answer, Metrics({})), asyncio.Event()
    unread = [asyncio.create_task(get(app, "/large", reads_on=reads_on)) for _ in range(room)]
    await asyncio.sleep(0)

    refused = [await get(app, path) for path in ("/large", "/just-large")]
    lines = log.lines()
    served = [await get(app, "/small"), await get(app, "/stored"), await get(app, "/large", "user_b")]
    reads_on.set()
    read = await asyncio.gather(*unread)
    again = await get(app, "/large")

    for one, line in zip(refused, lines, strict=True):
        asgi.assert_refused(one, line, 503, "large_answers")
        assert one.header(b"retry-after") == b"5"
    assert {one.status for one in (*served, *read, again)} == {200}
    assert {len(one.body) for one in read} == {LARGE}


@pytest.mark.anyio
async def test_what_was_stored_counts_until_it_is_read(room: int) -> None:
    app, reads_on = RequestMiddleware(answer, Metrics({})), asyncio.Event()
    unread = [asyncio.create_task(get(app, "/stored", reads_on=reads_on)) for _ in range(room)]
    await asyncio.sleep(0)

    refused = await get(app, "/large")
    for one in unread:
        one.cancel()
    await asyncio.gather(*unread, return_exceptions=True)

    assert (refused.status, (await get(app, "/large")).status) == (503, 200)


@pytest.mark.anyio
@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES, 3 * PIECE_BYTES + 7])
@pytest.mark.parametrize("more", [True, False], ids=["of several", "alone"])
async def test_a_body_is_sent_in_pieces_and_arrives_whole(size: int, *, more: bool) -> None:
    """Also if the application sends it as one of several."""
    sent: list[Message] = []
    body = bytes(index % 251 for index in range(size))

    async def large(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body, "more_body": more})
        if more:
            await send({"type": "http.response.body", "body": b"end"})

    async def send(message: Message) -> None:
        sent.append(message)

    await RequestMiddleware(large, Metrics({}))(asgi.scope("GET", "/", b"", asgi.HOST), _never, send)

    pieces = [message for message in sent if message["type"] == "http.response.body"]
    assert b"".join(piece["body"] for piece in pieces) == body + (b"end" if more else b"")
    assert max(len(piece["body"]) for piece in pieces) <= PIECE_BYTES
    assert [piece.get("more_body", False) for piece in pieces] == [True] * (len(pieces) - 1) + [False]


async def _never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError
