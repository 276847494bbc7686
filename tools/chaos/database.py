"""The campaign's own Postgres: its pooler, its crashes, and the contents of its tables at the end."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg

from app.postgres.migrations import migrate
from tools.chaos.checker import HistoryEntry, Row
from tools.processes import children_of
from tools.sandbox.binaries import find_pgbouncer
from tools.sandbox.pgbouncer import PgBouncer
from tools.sandbox.postgres import Postgres

_ROWS = (
    "SELECT clerk_id, assistant_id, email, name, round(extract(epoch FROM clerk_updated_at) * 1000)::bigint,"
    " deleted_at IS NOT NULL FROM users"
)
_MESSAGES = (
    "SELECT sessions.id::TEXT, coalesce("
    "array_agg(messages.content ORDER BY messages.position) FILTER (WHERE messages.id IS NOT NULL), '{}')"
    " FROM sessions LEFT JOIN messages ON messages.session_id = sessions.id GROUP BY sessions.id"
)
_MISCOUNTED = (
    "SELECT id::TEXT FROM sessions"
    " WHERE message_count <> (SELECT count(*) FROM messages WHERE messages.session_id = sessions.id)"
)
_HISTORY = "SELECT svix_id, type, clerk_id, status, outcome, resolved_at IS NOT NULL FROM deliveries"
BACKENDS_SECONDS = 10.0
# Every connection of four servers while they provision as much as they may, and a few of the dead.
POOLED_CONNECTIONS = 40


class Database:
    """Runs on one thread of its own: Linux ends Postgres with the thread that started it."""

    def __init__(self, folder: Path) -> None:
        self._postgres = Postgres(folder, durable=False, max_connections=200)
        self._thread = ThreadPoolExecutor(1, "postgres")
        self._pooler: PgBouncer | None = None

    async def start(self) -> None:
        await self._on_thread(self._postgres.start)
        await migrate(self.url)
        if find_pgbouncer():
            pooler = PgBouncer(self.url, pool_size=POOLED_CONNECTIONS)
            await self._on_thread(pooler.start)
            self._pooler = pooler

    async def stop(self) -> None:
        if self._pooler is not None:
            await self._on_thread(self._pooler.stop)
        await self._on_thread(self._postgres.stop)
        self._thread.shutdown()

    @property
    def url(self) -> str:
        """Past every proxy."""
        return self._postgres.url("app")

    @property
    def pooled(self) -> bool:
        """Whether PgBouncer stands in between; it does if it is installed."""
        return self._pooler is not None

    @property
    def service_url(self) -> str:
        """Where the service connects to: PgBouncer if there is one, else Postgres."""
        return self._pooler.url() if self._pooler else self.url

    async def crash(self) -> None:
        """Every process of Postgres dies at once; the next start recovers."""
        await self._on_thread(self._crash)

    async def lose_postmaster(self) -> None:
        """Kill -9 of the postmaster alone; its backends end when they notice."""
        await self._on_thread(self._lose_postmaster)

    def _crash(self) -> None:
        self._postgres.crash()
        self._postgres.start()

    def _lose_postmaster(self) -> None:
        pid = self._postgres.pid
        backends = children_of(pid)
        os.kill(pid, signal.SIGKILL)
        give_up_at = time.monotonic() + BACKENDS_SECONDS
        # A new server refuses the data as long as an old backend uses them.
        while any(Path(f"/proc/{backend}").exists() for backend in backends) and time.monotonic() < give_up_at:
            time.sleep(0.01)
        self._crash()

    async def _on_thread(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def rows(self) -> list[Row]:
        with psycopg.connect(self.url) as connection:
            return [Row(*row) for row in connection.execute(_ROWS)]

    def messages(self) -> dict[str, list[str]]:
        """The messages of each session in their order."""
        with psycopg.connect(self.url) as connection:
            return {session_id: list(texts) for session_id, texts in connection.execute(_MESSAGES)}

    def miscounted(self) -> list[str]:
        """The sessions whose count is not that of their messages."""
        with psycopg.connect(self.url) as connection:
            return [session_id for (session_id,) in connection.execute(_MISCOUNTED)]

    def history(self) -> list[HistoryEntry]:
        """What the service itself remembers of the deliveries."""
        with psycopg.connect(self.url) as connection:
            return [HistoryEntry(*row) for row in connection.execute(_HISTORY)]

    def tombstones(self) -> set[str]:
        return self._clerk_ids("deleted_users")

    def attempts(self) -> set[str]:
        return self._clerk_ids("provisioning_attempts")

    def _clerk_ids(self, table: str) -> set[str]:
        with psycopg.connect(self.url) as connection:
            return {clerk_id for (clerk_id,) in connection.execute(f"SELECT clerk_id FROM {table}".encode())}
