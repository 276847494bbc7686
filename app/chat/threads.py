"""Which thread a new session gets: one that a lost answer has left behind, or a new one.

Threads have no name, and Backboard knows no idempotency key. But an empty thread is as good as any other: one that
belongs to no session, was made in the time of the lost tries and, asked for alone, is empty.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from app import log
from app.backboard.client import Backboard
from app.backboard.models import Thread
from app.deadline import Deadline
from app.postgres.queries import Queries
from app.postgres.transaction import Transaction

# How far Backboard's clock and the database's may be apart.
CLOCK_SKEW = timedelta(minutes=1)
# So many threads are asked for alone. The chat backend may have made many of its own, without a session.
MOST_LOOKS = 10


class ThreadChoice(NamedTuple):
    """The thread of a new session, and whether a listing has just shown that no other one is unused."""

    thread: Thread
    is_only_unused: bool = False


class Threads:
    """Adopts or creates the thread of a session, while its transaction holds the lock on the user's sessions."""

    def __init__(self, queries: Queries, backboard: Backboard) -> None:
        self._queries = queries
        self._backboard = backboard

    async def adopt_or_create(
        self, transaction: Transaction, assistant_id: str, attempted_since: datetime | None, deadline: Deadline
    ) -> ThreadChoice:
        """A thread; new without attempts of others. A listing that failed is an error, never "none"."""
        if attempted_since is None:
            return ThreadChoice(await self._backboard.create_thread(assistant_id, deadline))
        candidates = await self._find_candidates(transaction, assistant_id, attempted_since - CLOCK_SKEW, deadline)
        for number, thread in enumerate(candidates[:MOST_LOOKS], start=1):
            if await self._backboard.is_empty_thread(thread.id, deadline):
                log.bind(adopted=True)
                return ThreadChoice(thread, is_only_unused=number == len(candidates))
        created = await self._backboard.create_thread(assistant_id, deadline)
        return ThreadChoice(created, is_only_unused=len(candidates) <= MOST_LOOKS)

    async def _find_candidates(
        self, transaction: Transaction, assistant_id: str, since: datetime, deadline: Deadline
    ) -> list[Thread]:
        """The threads that lost tries may have left, the oldest first: those of no session and of no deletion.

        A listing may show no messages of a thread that has some, so each is still to be looked at alone.
        """
        threads = await self._backboard.list_threads(assistant_id, deadline)
        possible = [thread for thread in threads if not thread.has_messages and thread.created_at >= since]
        query = (self._queries.find_taken_threads, {"thread_ids": [thread.id for thread in possible]})
        (rows,) = await transaction.execute(query)
        taken = {thread_id for (thread_id,) in rows}
        return [thread for thread in possible if thread.id not in taken]
