"""The deadline of a response, and errors that become one."""

import asyncio
import json

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from app.http import middleware
from app.http.middleware import RequestMiddleware
from app.metrics import Metrics
from tests.support.asgi import Log

pytestmark = pytest.mark.anyio


async def get(app: RequestMiddleware) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.get("/")


async def test_handler_that_hangs_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    """With Retry-After, where no limit of its own ended the wait."""
    monkeypatch.setattr(middleware, "ANSWER_SECONDS", 0.05)

    async def hang(_: Scope, __: Receive, ___: Send) -> None:
        await asyncio.sleep(60)

    answer = await get(RequestMiddleware(hang, Metrics({})))

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_timeout_is_503_even_if_the_handler_swallows_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some code turns CancelledError into another exception."""
    monkeypatch.setattr(middleware, "ANSWER_SECONDS", 0.05)

    async def complain(_: Scope, __: Receive, ___: Send) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ValueError from None

    answer = await get(RequestMiddleware(complain, Metrics({})))

    assert answer.status_code == 503


async def test_each_request_has_its_time_from_its_own_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """One timer serves them all."""
    monkeypatch.setattr(middleware, "ANSWER_SECONDS", 0.3)
    loop = asyncio.get_running_loop()

    async def hang(_: Scope, __: Receive, ___: Send) -> None:
        await asyncio.sleep(60)

    async def seconds_after(pause: float) -> float:
        await asyncio.sleep(pause)
        began = loop.time()
        assert (await get(app)).status_code == 503
        return loop.time() - began

    app = RequestMiddleware(hang, Metrics({}))

    assert all(0.29 < seconds < 2 for seconds in await asyncio.gather(*map(seconds_after, (0, 0.1, 0.25, 0.4))))


async def test_cancellation_from_outside_is_not_answered(log: Log) -> None:
    """At the end of the process, streams are cancelled; the line is written all the same."""
    sent: list[Message] = []

    async def hang(_: Scope, __: Receive, ___: Send) -> None:
        await asyncio.sleep(60)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"x")]}
    task = asyncio.create_task(RequestMiddleware(hang, Metrics({}))(scope, send, send))  # type: ignore[arg-type]
    await asyncio.sleep(0.01)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert sent == []
    assert log.line()["status"] == 0


async def test_bug_is_a_500_that_says_nothing(in_process_log: object) -> None:  # noqa: ARG001  # It logs.
    """The message may quote anything; the log has the class and the place."""

    async def fail(_: Scope, __: Receive, ___: Send) -> None:
        raise RuntimeError("a user's secret")

    answer = await get(RequestMiddleware(fail, Metrics({})))

    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert json.loads(answer.content)["title"] == "Internal Server Error"


async def test_failure_after_an_answer_began_is_not_answered_again() -> None:
    """The caller has its status; the log has the failure."""

    async def fail_late(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})
        raise RuntimeError("too late")

    answer = await get(RequestMiddleware(fail_late, Metrics({})))

    assert (answer.status_code, answer.text) == (200, "done")
