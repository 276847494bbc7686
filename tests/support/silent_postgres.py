"""A way to Postgres on which everything can fall silent at once, with every connection still open."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Way:
    """Passes bytes on while `open` is set; new connections are taken in any case."""

    database_url: str
    url: str = ""
    open: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await _connect(conninfo_to_dict(self.database_url))
        self.writers += [writer, there[1]]
        await asyncio.gather(self._pass(reader, there[1]), self._pass(there[0], writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(65536):
                await self.open.wait()
                writer.write(piece)
        writer.close()


async def _connect(target: Mapping[str, object]) -> Streams:
    host, port = str(target.get("host", "localhost")), target.get("port", 5432)
    if host.startswith("/"):
        return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
    return await asyncio.open_connection(host, int(str(port)))


@asynccontextmanager
async def way_to(database_url: str) -> AsyncIterator[Way]:
    """An open one, to the database of this URL."""
    way = Way(database_url)
    way.open.set()
    server = await asyncio.start_server(way.serve, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    target = {name: quote(str(value), safe="") for name, value in conninfo_to_dict(database_url).items()}
    person = target["user"] + (f":{target['password']}" if "password" in target else "")
    way.url = f"postgresql://{person}@127.0.0.1:{port}/{target['dbname']}"
    try:
        yield way
    finally:
        server.close()
        for writer in way.writers:
            writer.close()
        await server.wait_closed()
