"""Why a server refuses a connection: by its SQLSTATE, and never by a word of what it says."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote, urlsplit

import pytest

from app.postgres.refusals import why_refused
from tests.tools.postgres_owner import linux_only
from tools.processes import free_port

pytestmark = [pytest.mark.anyio, linux_only]

REACHED = "it was reached, and it refuses the connection"


@asynccontextmanager
async def server_that_says(message: bytes) -> AsyncIterator[str]:
    """A server that has no TLS and answers every start with these bytes; its address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while size := int.from_bytes(await reader.read(4)):
            content = await reader.readexactly(size - 4)
            is_start = content.startswith(b"\0\3\0")
            writer.write(message if is_start else b"N")
            await writer.drain()
            if is_start:
                break
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"postgresql://u:p@127.0.0.1:{server.sockets[0].getsockname()[1]}/canary"


def error_response(**fields: str) -> bytes:
    """An error response of the protocol; each field has a letter."""
    body = b"".join(letter.encode() + text.encode() + b"\0" for letter, text in fields.items()) + b"\0"
    return b"E" + (len(body) + 4).to_bytes(4) + body


@pytest.mark.parametrize(
    ("state", "text", "meaning"),
    [
        ("XX000", "Tenant or user not found", f"{REACHED} (SQLSTATE XX000)"),
        ("XX000", "certificate", f"{REACHED} (SQLSTATE XX000)"),
        ("28P01", 'password authentication failed for user "certificate"', "the user or the password is wrong"),
        ("28000", 'role "too many" does not exist', "it does not admit this user"),
        ("3D000", 'database "certificates" does not exist', "there is no such database"),
        ("53300", "zu viele Verbindungen", "it has no connection left"),
        ("57P03", "the database system is starting up", "it is starting up or shutting down"),
        ("08P01", "no such user: role ", "its pooler refuses"),
        ("42501", 'permission denied for database "x"', "the user may not connect to this database"),
        ("55000", 'database "x" is not currently accepting connections', "this database takes no connections"),
        ("42704", 'unrecognized configuration parameter "x"', "it does not take the options"),
        ("08000", 'endpoint "no such database" is disabled', f"{REACHED} (SQLSTATE 08000)"),
    ],
)
async def test_a_refusal_is_told_by_its_sqlstate(state: str, text: str, meaning: str) -> None:
    async with server_that_says(error_response(S="FATAL", V="FATAL", C=state, M=text)) as url:
        assert (await why_refused(url)).startswith(meaning)


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        (error_response(S="FATAL", C="3D000", M="x"), "there is no such database"),
        (error_response(S="FATAL", M='x" C "3D000"'), REACHED),
        (error_response(S="FATAL", M="certificate"), REACHED),
        (b"", "it closes the connection without a word"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "what listens there is not Postgres"),
    ],
    ids=["an old server", "a state in the text", "no state", "nothing", "HTTP"],
)
async def test_a_server_that_gives_no_sqlstate_is_still_told_apart(message: bytes, meaning: str) -> None:
    async with server_that_says(message) as url:
        assert await why_refused(url) == meaning


@pytest.mark.ways("direct", "pooled")
async def test_a_real_server_is_explained(database_url: str) -> None:
    """How it refuses an unknown user depends on how it authenticates."""
    host = urlsplit(database_url).netloc.rpartition("@")[2]
    url = urlsplit(database_url)._replace(netloc=f"canary:canary@{host}").geturl()

    assert (await why_refused(url)).startswith(("it does not admit this user", "the user or", "its pooler refuses"))
    assert await why_refused(database_url) == "it was busy"


DEMANDS = {
    "target_session_attrs=standby": "target_session_attrs",
    "target_session_attrs=read-only": "target_session_attrs",
    "require_auth=md5": "require_auth",
    "require_auth=scram-sha-256": "require_auth",
    "require_auth=!none": "require_auth",
    "channel_binding=require": "channel_binding",
    "channel_binding=require&target_session_attrs=any": "channel_binding",
    "requirepeer=canary": "requirepeer",
}


@pytest.mark.ways("direct")
@pytest.mark.parametrize(("query", "name"), DEMANDS.items())
async def test_a_demand_that_the_server_does_not_meet_is_named(query: str, name: str, database_url: str) -> None:
    """It was reached; libpq has words for each demand, and no state."""
    if "host=/" not in database_url and name == "requirepeer":
        pytest.skip("only a socket has a peer")

    assert (await why_refused(f"{database_url}&{query}")).startswith(f"it does not meet what {name} demands")


@pytest.mark.parametrize(("variable", "value"), [("PGTARGETSESSIONATTRS", "standby"), ("PGREQUIREAUTH", "md5")])
@pytest.mark.ways("direct")
async def test_a_demand_of_a_variable_is_named(
    variable: str, value: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    assert (await why_refused(database_url)).startswith("it does not meet what ")


async def test_no_password_is_sent_without_the_demand_that_keeps_it() -> None:
    """A server that asks for it in plain text, where the address demands SCRAM."""
    received: list[bytes] = []

    async def ask_for_password(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while size := int.from_bytes(await reader.readexactly(4)):
                is_start = (await reader.readexactly(size - 4)).startswith(b"\0\3\0")
                writer.write(b"R\0\0\0\x08\0\0\0\x03" if is_start else b"N")
                if is_start:
                    received.append(await reader.read(100))
        writer.close()

    async with await asyncio.start_server(ask_for_password, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        why = await why_refused(f"postgresql://u:canary@127.0.0.1:{port}/x?require_auth=scram-sha-256")

    assert why.startswith("it does not meet what require_auth demands")
    assert received
    assert not any(b"canary" in message for message in received)


@pytest.mark.ways("direct")
@pytest.mark.parametrize("name", ["certificates", 'too many "Connection refused', "role ", 'x" C "28P01" M "'])
async def test_no_name_of_a_database_is_taken_for_a_reason(database_url: str, name: str) -> None:
    url = urlsplit(database_url)._replace(path=f"/{quote(name, safe='')}").geturl()

    assert await why_refused(url) == "there is no such database"


@pytest.mark.parametrize(
    ("url", "meaning"),
    [
        ("postgresql://canary@/app?host=/canary", "there is no such socket"),
        ("postgresql://canary@127.0.0.1:{port}/app", "nothing listens at that host and port"),
        ("postgresql://canary@localhost:{port}/app", "nothing listens at that host and port"),
        ("postgresql://canary@nowhere.invalid/app", "there is no such host"),
    ],
)
async def test_a_server_that_is_not_there_is_explained(url: str, meaning: str) -> None:
    assert await why_refused(url.format(port=free_port())) == meaning


async def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.postgres.refusals.LONGEST_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/x"

        assert await why_refused(url) == "nothing answers at that host and port"
