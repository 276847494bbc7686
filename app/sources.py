"""What reconcile reads from, each whole or not at all: our tables page by page, Clerk's users, Backboard's listing."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from app.backboard import LAST_SKIP, PAGE_LIMIT, Backboard
from app.backboard_answers import Assistant
from app.clerk_api import ClerkApi, ClerkUnavailable
from app.database import Pool, Rows, Statement, send
from app.deadline import Deadline
from app.drift import Refused
from app.errors import DatabaseUnavailable
from app.migrations import newest
from app.queries import Queries
from app.users import Facts, Profile, Users, found

PAGE_SIZE = 500
READ_SECONDS = 10.0
THROTTLED_TRIES = 5


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

    def __init__(self, queries: Queries, pool: Pool, min_age: float) -> None:
        self._queries = queries
        self._users = Users(queries)
        self._pool = pool
        self._min_age = min_age

    async def begin(self) -> datetime:
        """The database's time; Refused unless the schema is the one that this code knows."""
        try:
            ((version,),) = await self._read((self._queries.get_schema_version, {}))
        except DatabaseUnavailable as error:
            if error.reason != "schema_missing":
                raise
            version = None
        if version != newest():
            raise Refused(f"the schema is {version or 'missing'} and not {newest()}: run `migrate` first")
        ((now,),) = await self._read((self._queries.get_time, {}))
        began: datetime = now
        return began

    async def silence(self) -> int | None:
        """Seconds since a row last changed, None without rows: what the tables know of the last event."""
        ages = {"min_age": self._min_age, "settled_age": self._min_age}
        ((_, _, seconds),) = await self._read((self._queries.get_census, ages))
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

    async def find(self, clerk_ids: list[str]) -> dict[str, Facts]:
        """Row and tombstone of each of these users."""
        rows: dict[str, Rows] = {clerk_id: [] for clerk_id in clerk_ids}
        for first in range(0, len(clerk_ids), PAGE_SIZE):
            for row in await self._read(self._users.find(clerk_ids[first : first + PAGE_SIZE])):
                rows[row[1]].append(row)
        return {clerk_id: found(theirs) for clerk_id, theirs in rows.items()}

    async def _page(self, query: bytes, after_id: str) -> Rows:
        return await self._read((query, {"after_id": after_id, "page_size": PAGE_SIZE, "min_age": self._min_age}))

    async def _read(self, statement: Statement) -> Rows:
        async with self._pool.connection() as connection:
            (rows,) = await send(connection, statement, seconds=READ_SECONDS)
        return rows


async def pages_of_clerk(clerk: ClerkApi) -> AsyncIterator[dict[str, Profile]]:
    """Every user of the instance; Refused at the end when the listing is not whole by Clerk's own count."""
    before = await clerk.count_users()
    seen: set[str] = set()
    cursor: str | None = None
    while True:
        page = await clerk.list_users(cursor)
        profiles = {profile.clerk_id: profile for profile in page.profiles if profile.clerk_id not in seen}
        yield profiles
        seen |= set(profiles)
        if page.cursor is None:
            break
        if not profiles:
            raise Refused("Clerk's listing repeats itself")
        cursor = page.cursor
    # Users may come and go while the pages are read.
    count = min(before, await clerk.count_users())
    if len(seen) < count:
        raise Refused(f"Clerk's listing has {len(seen)} users, and Clerk counts {count}")


async def user_at_clerk(clerk: ClerkApi, clerk_id: str) -> Profile | None:
    """One user, None by Clerk's definite word; a request to wait is followed a few times."""
    for _ in range(THROTTLED_TRIES):
        try:
            return await clerk.get_user(clerk_id, Deadline())
        except ClerkUnavailable as error:
            if error.reason != "clerk_throttled":
                raise
            await asyncio.sleep(error.retry_after)
    return await clerk.get_user(clerk_id, Deadline())


async def listing_of_backboard(backboard: Backboard) -> tuple[dict[str, Assistant], bool]:
    """Every assistant that can be listed, by id, and whether there may be more behind them."""
    listed: dict[str, Assistant] = {}
    for skip in range(0, LAST_SKIP + 1, PAGE_LIMIT):
        page = await backboard.list_page(skip)
        listed |= {assistant.id: assistant for assistant in page}
        if len(page) < PAGE_LIMIT:
            return listed, False
    return listed, True
