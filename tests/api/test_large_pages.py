"""Pages of a history that are large: refused before they are read while too many wait for their clients."""

from typing import Any

import pytest

from app.chat.statements import Statements
from app.http import memory
from app.http.memory import SHARE_BYTES
from tests.support.asgi import Log
from tests.support.factories import Person
from tests.support.service import Chat, Service

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


@pytest.fixture
async def history(service: Service) -> str:
    """The path of a history of 400 KB."""
    session = (await Chat(service.client).open(Person())).json()
    for _ in range(5):
        await Chat(service.client).say(session, "user", "x" * 80_000)
    return f"/sessions/{session['id']}/messages"


async def test_a_large_page_is_refused_before_it_is_read(
    service: Service, history: str, monkeypatch: pytest.MonkeyPatch, log: Log
) -> None:
    """How long it is shows only when it is read, so the most it may be counts. Shorter pages are served."""
    read: list[object] = []
    send = Statements.send

    async def counted(self: Statements, *statements: Any, **how: Any) -> Any:
        read.append(statements)
        return await send(self, *statements, **how)

    monkeypatch.setattr(Statements, "send", counted)
    # A service token leaves a quarter to signed-in users, so it has 1 MiB.
    monkeypatch.setattr(memory, "TOTAL_BYTES", SHARE_BYTES + MIB)
    chat = Chat(service.client)

    refused = await chat.get(history)
    (line,) = [line for line in log.lines() if line["event"] == "list_messages"]
    assert (refused.status_code, line["reason"], read) == (503, "large_answers", [])
    assert refused.headers["retry-after"] == "5"
    page = await chat.get(history + "?limit=2")
    assert (page.status_code, len(page.json()["messages"])) == (200, 2)
    assert (await service.ensure(Person())).status_code == 201
    monkeypatch.setattr(memory, "TOTAL_BYTES", SHARE_BYTES + 5 * MIB)
    assert len((await chat.get(history)).json()["messages"]) == 5
    assert len(read) == 1


async def test_a_page_that_is_not_large_is_refused_only_by_its_own_size(
    service: Service, history: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to 256 KiB it is read with others, and known before it counts; below 64 KiB it does not count."""
    chat = Chat(service.client)
    await chat.say({"id": history.split("/")[2]}, "user", "short")
    monkeypatch.setattr(memory, "TOTAL_BYTES", SHARE_BYTES + 100_000)

    statuses = [(await chat.get(history + f"?limit={limit}")).status_code for limit in (1, 2, 3)]

    assert statuses == [200, 200, 503]


async def test_large_pages_one_after_the_other_are_served(service: Service, history: str) -> None:
    """What was taken does not count any more."""
    chat = Chat(service.client)

    assert {(await chat.get(history)).status_code for _ in range(20)} == {200}
