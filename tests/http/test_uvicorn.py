"""The attributes of uvicorn's that we lean on without a promise; read this before another uvicorn is pinned."""

import ast
import asyncio
import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httptools
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.http import parsing, protocol, server
from app.http.parsing import StrictProtocol
from app.http.protocol import LimitedProtocol
from app.http.server import Server
from tests.support.connections import GET, listening

pytestmark = pytest.mark.anyio

# Of a connection: `cycle` is the request that was read last, `pipeline` those that wait for it, newest on the left.
CONNECTION = {
    *("app_state", "cycle", "flow", "headers", "loop", "parser", "pipeline", "server_state", "timeout_keep_alive"),
    *("transport", "url"),
}
# Of a request and its response.
CYCLE = {
    *("disconnected", "keep_alive", "message_event", "more_body", "response_complete", "response_started", "scope"),
    "waiting_for_100_continue",
}
# What uvicorn calls, and we replace or add to.
METHODS = {
    *("connection_made", "connection_lost", "data_received", "shutdown"),
    *("on_message_begin", "on_headers_complete", "on_body", "on_message_complete", "on_response_complete"),
}
# What we call of it, where it is not the method that we replace.
CALLED = {"_start_asgi_task"}
SERVER_METHODS = {"startup", "on_tick", "shutdown"}
SERVER = {"lifespan", "server_state"}


def attributes(*modules: Any, of: set[str]) -> set[str]:
    """What stands behind these expressions and a dot in the modules."""
    nodes = [node for module in modules for node in ast.walk(ast.parse(Path(module.__file__).read_text()))]
    return {node.attr for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value) in of}


def own(kind: type) -> set[str]:
    return {name for name, value in vars(kind).items() if inspect.isfunction(value)} - {"__init__"}


def test_lists_say_what_the_code_uses() -> None:
    of_self = attributes(parsing, protocol, of={"self"})
    of_cycle = attributes(parsing, protocol, of={"cycle", "self.cycle", "self._answering"})
    ours = {name for name in of_self if name.startswith("_")} - CALLED | own(LimitedProtocol) | own(StrictProtocol)

    assert of_self - ours == CONNECTION | CALLED
    assert of_cycle == CYCLE
    assert (own(LimitedProtocol) | own(StrictProtocol)) & set(dir(HttpToolsProtocol)) == METHODS
    assert own(Server) & set(dir(uvicorn.Server)) == SERVER_METHODS
    assert {name for name in attributes(server, of={"self"}) if not name.startswith("_")} == SERVER


@pytest.mark.parametrize("name", sorted(METHODS))
def test_method_of_a_connection_takes_what_uvicorn_passes(name: str) -> None:
    theirs, ours = getattr(HttpToolsProtocol, name), getattr(LimitedProtocol, name)

    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)


@pytest.mark.parametrize("name", sorted(SERVER_METHODS))
def test_method_of_the_server_takes_what_uvicorn_passes(name: str) -> None:
    theirs, ours = getattr(uvicorn.Server, name), getattr(Server, name)

    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)


async def test_connection_has_what_we_lean_on() -> None:
    """After a request, on uvicorn's own class; and it brings nothing that our own names would hide."""
    seen: list[HttpToolsProtocol] = []

    async def ok(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    def plain(*arguments: Any) -> HttpToolsProtocol:
        seen.append(HttpToolsProtocol(*arguments))
        return seen[-1]

    async with listening(ok, protocol=plain) as listener:
        reader, writer = await asyncio.open_connection(*listener.address)
        writer.write(GET)
        await reader.readuntil(b"ok")
        (connection,) = seen
        names, of_cycle = set(vars(connection)), set(vars(connection.cycle))
        writer.close()

    assert names >= CONNECTION
    assert of_cycle >= CYCLE
    assert isinstance(connection.cycle, RequestResponseCycle)
    assert inspect.signature(HttpToolsProtocol._start_asgi_task).parameters.keys() == {"self", "cycle", "app"}
    ours = {name for name in attributes(parsing, protocol, of={"self"}) if name.startswith("_")} - CALLED
    assert ours & (names | set(dir(HttpToolsProtocol))) == set()


def test_transport_that_uvicorn_gets_has_what_it_uses() -> None:
    """We give it something that writes and closes, not the transport itself; `set_protocol` is for WebSockets."""
    tree = ast.parse(inspect.getsource(httptools_impl))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self.transport"
    }

    assert used == {"write", "is_closing", "close", "set_protocol"}


async def test_request_sets_no_timer() -> None:
    """A timer for each kept connection costs as much as parsing the request; the limits stand in its place."""

    async def ok(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async with listening(ok) as listener:
        reader, writer = await asyncio.open_connection(*listener.address)
        writer.write(GET)
        await reader.readuntil(b"ok")
        (connection,) = listener.state.connections
        assert isinstance(connection, LimitedProtocol)
        assert connection.timeout_keep_alive_task is None
        writer.close()


def test_parser_tells_of_chunks() -> None:
    """A parser calls `on_chunk_complete` where there is one; uvicorn has none."""
    calls: list[str] = []
    callbacks = SimpleNamespace(on_chunk_complete=lambda: calls.append("chunk"))
    parser = httptools.HttpRequestParser(callbacks)
    parser.feed_data(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")

    assert "chunk" in calls
    assert not hasattr(HttpToolsProtocol, "on_chunk_complete")
