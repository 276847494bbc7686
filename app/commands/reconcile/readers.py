"""The reads of reconcile from Postgres, page by page, and from Backboard and Clerk."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from app.backboard.client import LAST_SKIP, PAGE_LIMIT, Backboard
from app.backboard.models import Assistant, add_page
from app.clerk.api import ClerkApi
from app.clerk.users import Profile
from app.commands.reconcile.models import UnsafeToProceed
from app.deadline import Deadline
from app.errors import SchemaMissing
from app.http.client import retry_reads
from app.postgres.migration_files import newest
from app.postgres.pipeline import Rows, Statement, execute
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.users.models import UserState
from app.users.repository import UserRepository

PAGE_SIZE = 500
READ_SECONDS = 10.0
# How many users are looked up at Backboard at a time.
CONCURRENT_LOOKUPS = 5


@dataclass(frozen=True, slots=True)
class Row:
    """A user's row or attempt row; only a user's row has an assistant.

    The user of an attempt row that is neither live nor deleted is undecided: there is no row and no tombstone.
    """

    clerk_id: str
    assistant_id: str | None
    is_live: bool
    is_deleted: bool
    is_old: bool


class Tables:
    """Reads our tables in the order of clerk_id; a row is old from `min_age` seconds on."""

    def __init__(self, queries: Queries, query_pool: Pool, min_age: float) -> None:
        self._queries = queries
        self._users = UserRepository(queries)
        self._query_pool = query_pool
        self._min_age = min_age

    async def begin(self) -> datetime:
        """The database's time; UnsafeToProceed unless the schema is the one of this code."""
        try:
            ((version,),) = await self._read((self._queries.get_schema_version, {}))
        except SchemaMissing:
            version = None
        if version != newest():
            raise UnsafeToProceed(f"the schema is {version or 'missing'} and not {newest()}: run `migrate` first")
        ((now,),) = await self._read((self._queries.get_time, {}))
        started_at: datetime = now
        return started_at

    async def seconds_since_change(self) -> int | None:
        """Seconds since a row of users last changed; None without rows."""
        ages = {"min_age": self._min_age, "settled_age": self._min_age}
        ((_, _, seconds),) = await self._read((self._queries.get_user_counts, ages))
        return None if seconds is None else int(seconds)

    async def attempts(self) -> AsyncIterator[Row]:
        async for clerk_id, is_live, is_deleted, is_old in self._pages(self._queries.list_attempts):
            yield Row(clerk_id, None, is_live, is_deleted, is_old)

    async def users(self) -> AsyncIterator[Row]:
        async for clerk_id, assistant_id, is_live, is_old in self._pages(self._queries.list_users):
            yield Row(clerk_id, assistant_id, is_live, not is_live, is_old)

    async def find(self, clerk_ids: list[str]) -> dict[str, UserState]:
        """Row and tombstone of each of these users."""
        rows: dict[str, Rows] = {clerk_id: [] for clerk_id in clerk_ids}
        for first in range(0, len(clerk_ids), PAGE_SIZE):
            for row in await self._read(self._users.find(clerk_ids[first : first + PAGE_SIZE])):
                rows[row[1]].append(row)
        return {clerk_id: UserState.from_rows(theirs) for clerk_id, theirs in rows.items()}

    async def _pages(self, query: bytes) -> AsyncIterator[tuple[Any, ...]]:
        """The rows of a query that returns a page behind `after_id`, beginning with clerk_id."""
        values = {"after_id": "", "page_size": PAGE_SIZE, "min_age": self._min_age}
        while rows := await self._read((query, values)):
            for row in rows:
                yield row
            values["after_id"] = rows[-1][0]

    async def _read(self, statement: Statement) -> Rows:
        async with self._query_pool.connection() as connection:
            (rows,) = await execute(connection, statement, seconds=READ_SECONDS)
        return rows


@dataclass(slots=True)
class AssistantListing:
    """The assistants by id, as far as Backboard lists them; `is_cut` when there may be more."""

    by_id: dict[str, Assistant]
    is_cut: bool


async def list_assistants(backboard: Backboard) -> AssistantListing:
    """Every assistant that Backboard lists; after LAST_SKIP it lists no more."""
    by_id: dict[str, Assistant] = {}
    for skip in range(0, LAST_SKIP + 1, PAGE_LIMIT):
        page = await retry_reads(partial(backboard.list_page, skip))
        add_page(by_id, page)
        if len(page) < PAGE_LIMIT:
            return AssistantListing(by_id, is_cut=False)
    return AssistantListing(by_id, is_cut=True)


async def get_assistant(backboard: Backboard, assistant_id: str) -> Assistant | None:
    """An assistant; None only when Backboard definitely has none of this id."""
    return await retry_reads(lambda: backboard.get_assistant(assistant_id, Deadline()))


async def get_user(clerk: ClerkApi, clerk_id: str) -> Profile | None:
    """A user's profile; None only when Clerk definitely has no such user."""
    return await retry_reads(lambda: clerk.get_user(clerk_id, Deadline()))


async def find_assistants(backboard: Backboard, clerk_ids: set[str]) -> dict[str, list[Assistant]]:
    """The assistants of each of these users by name, looked up a few users at a time."""

    async def find(clerk_id: str) -> list[Assistant]:
        return await retry_reads(lambda: backboard.find_assistants(clerk_id, Deadline()))

    found: dict[str, list[Assistant]] = {}
    ids = sorted(clerk_ids)
    for first in range(0, len(ids), CONCURRENT_LOOKUPS):
        batch = ids[first : first + CONCURRENT_LOOKUPS]
        found |= zip(batch, await asyncio.gather(*map(find, batch)), strict=True)
    return found
