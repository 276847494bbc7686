"""The server of a process, from its start on."""

import asyncio
import gc
import socket
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from app.http.protocol import LimitedProtocol
from app.http.server import Server

pytestmark = pytest.mark.anyio


@pytest.fixture
def frozen() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("frozen")
async def test_what_is_there_at_the_start_is_not_collected_again() -> None:
    """A full collection walks over all objects that are not frozen, and stops every request meanwhile."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None: ...

    config = uvicorn.Config(app, lifespan="off", log_config=None, http=LimitedProtocol, ws="none")
    config.load()
    server = Server(config)
    server.lifespan = config.lifespan_class(config)
    server.lifespan.state["stopping"] = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        await server.startup([listening])
        frozen, tracked = gc.get_freeze_count(), len(gc.get_objects())
        await server.shutdown([listening])

    assert frozen > 20 * tracked
