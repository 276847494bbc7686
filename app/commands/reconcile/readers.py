"""What reconcile reads from beside Clerk: our tables page by page, Backboard's listing."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from app.backboard.client import LAST_SKIP, PAGE_LIMIT, Backboard
from app.backboard.models import Assistant, add_page
from app.commands.reconcile.models import UnsafeToProceed
from app.deadline import Deadline
from app.errors import SchemaMissing
from app.http.client import retry_reads
from app.postgres.migrations import newest
from app.postgres.pipeline import Rows, Statement, execute
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.users.models import UserState
from app.users.repository import Users

PAGE_SIZE = 500
READ_SECONDS = 10.0
# So many assistants are asked for by name at a time.
AT_ONCE = 5


@dataclass(frozen=True, slots=True)
class Row:
    """What a row of users or a note says here; a note holds no assistant. Neither live nor gone: undecided."""

    clerk_id: str
    held_id: str | None
    live: bool
    gone: bool
    old: bool


class Tables:
    """Our tables, read page by page in the order of clerk_id; `min_age` is from when on something counts as old."""

    def __init__(self, queries: Queries, query_pool: Pool, min_age: float) -> None:
        self._queries = queries
        self._users = Users(queries)
        self._query_pool = query_pool
        self._min_age = min_age

    async def begin(self) -> datetime:
        """The database's time; UnsafeToProceed unless the schema is the one that this code knows."""
        try:
            ((version,),) = await self._read((self._queries.get_schema_version, {}))
        except SchemaMissing:
            version = None
        if version != newest():
            raise UnsafeToProceed(f"the schema is {version or 'missing'} and not {newest()}: run `migrate` first")
        ((now,),) = await self._read((self._queries.get_time, {}))
        began: datetime = now
        return began

    async def silence(self) -> int | None:
        """Seconds since a row last changed, None without rows: what the tables know of the last event."""
        ages = {"min_age": self._min_age, "settled_age": self._min_age}
        ((_, _, seconds),) = await self._read((self._queries.get_user_counts, ages))
        return None if seconds is None else int(seconds)

    async def notes(self) -> AsyncIterator[Row]:
        """The attempt rows."""
        after_id = ""
        while rows := await self._page(self._queries.list_attempts, after_id):
            for clerk_id, live, gone, old in rows:
                yield Row(clerk_id, None, live, gone, old)
            after_id = rows[-1][0]

    async def users(self) -> AsyncIterator[Row]:
        after_id = ""
        while rows := await self._page(self._queries.list_users, after_id):
            for clerk_id, held_id, live, old in rows:
                yield Row(clerk_id, held_id, live, not live, old)
            after_id = rows[-1][0]

    async def find(self, clerk_ids: list[str]) -> dict[str, UserState]:
        """Row and tombstone of each of these users."""
        rows: dict[str, Rows] = {clerk_id: [] for clerk_id in clerk_ids}
        for first in range(0, len(clerk_ids), PAGE_SIZE):
            for row in await self._read(self._users.find(clerk_ids[first : first + PAGE_SIZE])):
                rows[row[1]].append(row)
        return {clerk_id: UserState.from_rows(theirs) for clerk_id, theirs in rows.items()}

    async def _page(self, query: bytes, after_id: str) -> Rows:
        return await self._read((query, {"after_id": after_id, "page_size": PAGE_SIZE, "min_age": self._min_age}))

    async def _read(self, statement: Statement) -> Rows:
        async with self._query_pool.connection() as connection:
            (rows,) = await execute(connection, statement, seconds=READ_SECONDS)
        return rows


async def listing_of_backboard(backboard: Backboard) -> tuple[dict[str, Assistant], bool]:
    """Every assistant that can be listed, by id, and whether there may be more behind them."""
    listed: dict[str, Assistant] = {}
    for skip in range(0, LAST_SKIP + 1, PAGE_LIMIT):
        page = await retry_reads(partial(backboard.list_page, skip))
        add_page(listed, page)
        if len(page) < PAGE_LIMIT:
            return listed, False
    return listed, True


async def assistant_at_backboard(backboard: Backboard, assistant_id: str) -> Assistant | None:
    """The assistant of this id, None by Backboard's definite word."""
    return await retry_reads(lambda: backboard.get_assistant(assistant_id, Deadline()))


async def assistants_by_name(backboard: Backboard, clerk_ids: set[str]) -> dict[str, list[Assistant]]:
    """The assistants of each of these users, a few users at a time."""

    async def find(clerk_id: str) -> list[Assistant]:
        return await retry_reads(lambda: backboard.find_assistants(clerk_id, Deadline()))

    named: dict[str, list[Assistant]] = {}
    asked = sorted(clerk_ids)
    for first in range(0, len(asked), AT_ONCE):
        some = asked[first : first + AT_ONCE]
        named |= zip(some, await asyncio.gather(*map(find, some)), strict=True)
    return named
