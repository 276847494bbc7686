"""Stands between the service and Postgres and counts how often one waits for the other."""

import asyncio
import tempfile
import threading
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, quote, urlsplit


class Relay:
    """A round trip is bytes of the service's after bytes of Postgres', on one connection."""

    def __init__(self, database_url: str) -> None:
        address = urlsplit(database_url)
        self._postgres = Path(parse_qs(address.query)["host"][0]) / ".s.PGSQL.5432"
        self._database = address.path
        self._folder = tempfile.TemporaryDirectory(prefix="relay-")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.trips = 0

    @property
    def url(self) -> str:
        return f"postgresql://app@{self._database}?host={quote(self._folder.name)}&port=5432"

    def __enter__(self) -> Self:
        self._thread.start()
        path = str(Path(self._folder.name) / ".s.PGSQL.5432")
        asyncio.run_coroutine_threadsafe(asyncio.start_unix_server(self._join, path), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._folder.cleanup()

    async def _join(self, service: asyncio.StreamReader, to_service: asyncio.StreamWriter) -> None:
        postgres, to_postgres = await asyncio.open_unix_connection(str(self._postgres))
        theirs = False

        async def there() -> None:
            nonlocal theirs
            while data := await service.read(65536):
                self.trips += theirs
                theirs = False
                to_postgres.write(data)
            to_postgres.close()

        async def back() -> None:
            nonlocal theirs
            while data := await postgres.read(65536):
                theirs = True
                to_service.write(data)
            to_service.close()

        await asyncio.gather(there(), back())
