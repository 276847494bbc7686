"""Stands between the service and Postgres and counts how often one waits for the other."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tools.sandbox.loopback import HOST, LoopbackServer


class Relay(LoopbackServer):
    """A round trip is bytes of the service's after bytes of Postgres', on one connection."""

    def __init__(self, database_url: str) -> None:
        super().__init__()
        address = urlsplit(database_url)
        self._postgres = Path(parse_qs(address.query)["host"][0]) / ".s.PGSQL.5432"
        self._database = address.path
        self.trips = 0

    @property
    def url(self) -> str:
        return f"postgresql://app@{HOST}:{self.port}{self._database}"

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """All that one connection brings."""
        from_postgres, to_postgres = await asyncio.open_unix_connection(str(self._postgres))
        answered = asyncio.Event()
        answers = asyncio.create_task(_pass_on(from_postgres, writer, answered.set))

        def asked() -> None:
            self.trips += answered.is_set()
            answered.clear()

        try:
            await _pass_on(reader, to_postgres, asked)
        finally:
            answers.cancel()
            to_postgres.close()
        return False


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter, seen: Callable[[], object]) -> None:
    while data := await source.read(65536):
        seen()
        target.write(data)
