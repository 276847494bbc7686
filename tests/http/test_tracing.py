"""The caller's trace: its id is in the log line, and Backboard gets the header as it came."""

from typing import Any

import httpx
import pytest

from app.application import create_app
from app.http.tracing import trace_headers
from tests.support.asgi import BEARER, HOST, JSON, Log, ask, stranded_app
from tests.support.factories import Person, user_created
from tests.support.log_capture import capture_log
from tests.support.service import in_process, settings_of
from tools.sandbox.backboard import Sandbox

pytestmark = pytest.mark.anyio

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        [PARENT.upper()],
        [PARENT + "-more"],
        [PARENT + "\n"],
        ["ff" + PARENT[2:]],
        [f"00-{'0' * 32}-b7ad6b7169203331-01"],
        [f"00-{TRACE}-{'0' * 16}-01"],
        [PARENT, PARENT],
    ],
    ids=["none", "empty", "upper case", "more", "a line end", "version ff", "no trace", "no parent", "twice"],
)
async def test_what_is_no_trace_is_ignored(values: list[str], log: Log) -> None:
    """It is the caller's mistake, and costs neither the answer nor a line."""
    headers = [(b"traceparent", value.encode()) for value in values]

    answer = await ask(stranded_app(), HOST + JSON + BEARER + headers, b"{}", path="/ensure-user")

    assert answer.status == 422
    assert "trace_id" not in log.line()


async def test_a_trace_is_noted_and_passed_on(
    variables: dict[str, str], backboard: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only for the request that had it."""
    sent: list[str | None] = []
    send = httpx.AsyncClient.send

    async def noting(client: httpx.AsyncClient, request: httpx.Request, **how: Any) -> httpx.Response:
        if str(request.url).startswith(backboard.url):
            sent.append(request.headers.get("traceparent"))
        return await send(client, request, **how)

    monkeypatch.setattr(httpx.AsyncClient, "send", noting)
    async with in_process(create_app(settings_of(variables))) as service:
        service.client.headers["traceparent"] = PARENT
        with capture_log() as configure:
            first = configure()
            await service.ensure(Person())
        del service.client.headers["traceparent"]
        await service.deliver(user_created(Person()))

    assert sent == [PARENT, None]
    assert first.fields["trace_id"] == TRACE
    assert trace_headers() == {}
