"""The frame round every request."""

import asyncio
import json

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from app.http import middleware
from app.http.middleware import RequestMiddleware
from app.metrics import Metrics

pytestmark = pytest.mark.anyio


async def get(app: RequestMiddleware) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.get("/")


async def test_whatever_hangs_is_answered_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """503 with a word on when to come again, where no limit of its own ended a wait."""
    monkeypatch.setattr(middleware, "ANSWER_SECONDS", 0.05)

    async def hang(_: Scope, __: Receive, ___: Send) -> None:
        await asyncio.sleep(60)

    answer = await get(RequestMiddleware(hang, Metrics({})))

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_what_is_cancelled_for_its_time_is_late_whatever_it_says_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some code makes another exception of being cancelled, or none."""
    monkeypatch.setattr(middleware, "ANSWER_SECONDS", 0.05)

    async def complain(_: Scope, __: Receive, ___: Send) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ValueError from None

    answer = await get(RequestMiddleware(complain, Metrics({})))

    assert answer.status_code == 503


async def test_a_bug_is_a_500_that_says_nothing(in_process_log: object) -> None:  # noqa: ARG001  # It logs.
    """The message may quote anything; the log has the class and the place."""

    async def fail(_: Scope, __: Receive, ___: Send) -> None:
        raise RuntimeError("somebody's secret")

    answer = await get(RequestMiddleware(fail, Metrics({})))

    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert json.loads(answer.content)["title"] == "Internal Server Error"


async def test_what_fails_after_an_answer_began_is_not_answered_twice() -> None:
    """The caller has its status; the log has the rest."""

    async def fail_late(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})
        raise RuntimeError("too late")

    answer = await get(RequestMiddleware(fail_late, Metrics({})))

    assert (answer.status_code, answer.text) == (200, "done")
