"""1,966 raw requests that smuggle, pipeline, upgrade or break off, each followed by a request of its own.

tools.hostile.corpus explains the cases. `./dev hostile` sends all of them through proxies; here a few go that way.
"""

import asyncio
import re
from typing import NamedTuple

import pytest
from starlette.types import ASGIApp

from app.http import protocol
from app.http.middleware import RequestMiddleware
from app.metrics import Metrics
from tests.support.asgi import Log
from tests.support.connections import Listening, listening
from tools.hostile import campaign, clients, keeping
from tools.hostile.corpus import Case, corpus
from tools.hostile.proxies import PROXIES, running

pytestmark = pytest.mark.anyio

AT_ONCE = 200
REFUSALS = {b"400", b"408", b"431"}
SMUGGLED = b"x-request-id: smuggled"


class Outcome(NamedTuple):
    """What a connection came to: how many requests were answered but the last one, and whether that got its own."""

    answered: int
    smuggled: int
    end: str


class Sender(asyncio.Protocol):
    """Sends a case and the request behind it; keeps what it receives, even if the connection is reset then."""

    def __init__(self) -> None:
        self.received = b""
        self.is_closed = asyncio.Event()
        self.is_answered = asyncio.Event()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvloop's is none.
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        if b"tagged-" in self.received:
            self.is_answered.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # However it ended.
        self.is_closed.set()
        self.is_answered.set()

    async def send(self, piece: bytes, pause: float) -> None:
        if not self.is_closed.is_set():
            self.transport.write(piece)
        await asyncio.sleep(pause)


async def send(server: Listening, number: int, case: Case, turn: asyncio.Semaphore) -> Outcome:
    tag = b"tagged-%020d" % number
    async with turn:
        _, sender = await asyncio.get_running_loop().create_connection(Sender, *server.address)
        for piece in case.pieces:
            await sender.send(piece.encode("latin-1"), 0.001 if len(case.pieces) > 9 else 0.02)
        await sender.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Request-Id: %s\r\n\r\n" % tag, 0)
        try:
            async with asyncio.timeout(8):
                await sender.is_answered.wait()
        except TimeoutError:
            pass
        sender.transport.close()
    responses = re.split(rb"HTTP/1\.1 (?=[0-9]{3} )", sender.received)[1:]
    answers = [response for response in responses if response[:3] not in REFUSALS | {b"100"}]
    own = [response for response in answers if tag in response]
    end = "closed" if sender.is_closed.is_set() else "own answer" if own == answers[-1:] != [] else "silent"
    return Outcome(len(answers) - len(own), sum(SMUGGLED in response for response in answers), end)


async def outcomes(app: ASGIApp, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Case, Outcome]]:
    for limit in ("HEAD_SECONDS", "BODY_SECONDS", "LINGER_SECONDS"):
        monkeypatch.setattr(protocol, limit, 1.0)
    turn = asyncio.Semaphore(AT_ONCE)
    async with listening(app) as server:
        sent = [send(server, number, case, turn) for number, case in enumerate(corpus())]
        return list(zip(corpus(), await asyncio.gather(*sent), strict=True))


async def test_service_answers_no_smuggled_request(
    app: ASGIApp,
    log: Log,  # noqa: ARG001  # It logs.
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The routes of the service, which close the connection where they did not read the body."""
    wrong = [
        (case.group, case.name, outcome)
        for case, outcome in await outcomes(app, monkeypatch)
        if outcome[:2] != (case.answered, case.smuggled) or outcome.end == "silent"
    ]

    assert wrong == []


async def test_next_request_gets_its_own_answer_or_the_connection_ends(
    log: Log,  # noqa: ARG001  # It logs.
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An application that keeps every connection, and leaves one body unread."""
    monkeypatch.setattr(keeping, "ANSWER_SECONDS", 0)
    found = await outcomes(RequestMiddleware(keeping.keep, Metrics({})), monkeypatch)

    assert [(case.group, case.name) for case, outcome in found if outcome.end == "silent"] == []
    assert sum(outcome.end == "own answer" for _, outcome in found) > 100


# What has gone wrong behind a proxy elsewhere.
BEHIND_A_PROXY = [
    case
    for case in corpus()
    if case.group == "hand"
    and re.match("upgrade|chunk trailer|expect|noread|pipelined slow|CL.TE|TE.CL|HTTP/1.0", case.name)
]
installed = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            proxy.find() is None, reason=f"{proxy.program} is not installed (Debian: apt install {proxy.program})"
        ),
    )
    for name, proxy in PROXIES.items()
]


@pytest.mark.parametrize("name", installed)
async def test_client_behind_a_proxy_gets_its_own_answers(
    name: str,
    log: Log,  # noqa: ARG001  # It logs.
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The proxy sends the next client's request on the connection that a hostile one was answered on."""
    for limit in ("HEAD_SECONDS", "BODY_SECONDS", "LINGER_SECONDS"):
        monkeypatch.setattr(protocol, limit, 1.0)
    monkeypatch.setattr(clients, "LIMITS_SECONDS", 4.0)
    async with listening(RequestMiddleware(keeping.keep, Metrics({})), keep_alive=60) as server:
        with running(name, server.address[1], lanes=8) as lanes:
            result = await campaign.run(lanes, BEHIND_A_PROXY)

    assert (result.wrong, result.deaf) == ([], [])
    assert result.shared
