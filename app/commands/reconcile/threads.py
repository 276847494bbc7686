"""Finish the deletions of sessions: threads that Backboard still has although the session is gone."""

from dataclasses import dataclass

from app import log
from app.commands.reconcile.models import GracePeriods
from app.components import Components
from app.deadline import Deadline
from app.errors import Unavailable
from app.postgres.pipeline import execute

# The next run does the rest.
THREADS_PER_RUN = 500
READ_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ThreadResult:
    """How many threads were to be deleted, and how many are left."""

    found: int
    left: int


async def finish_deletions(
    components: Components, grace_periods: GracePeriods, *, apply: bool, clerk_id: str | None = None
) -> ThreadResult:
    """Delete the threads of sessions that were deleted longer ago than the minimum age, if `apply`; of one user or all.

    The session is gone, so nothing can adopt its thread: no lock is needed, and a repetition does no harm.
    """
    queries, pool = components.queries, components.query_pool
    values = {"min_age": grace_periods.min_age.total_seconds(), "page_size": THREADS_PER_RUN, "clerk_id": clerk_id}
    async with pool.connection() as connection:
        (rows,) = await execute(connection, (queries.list_deleted_threads, values), seconds=READ_SECONDS)
    left = len(rows)
    for session_id, thread_id in rows if apply else ():
        try:
            await components.backboard.delete_thread(thread_id, Deadline())
            await pool.execute((queries.delete_deleted_thread, {"session_id": session_id}), deadline=Deadline())
        except Unavailable as error:
            log.error("reconcile_failed", session_id=str(session_id), reason=error.reason)
        else:
            left -= 1
    return ThreadResult(len(rows), left)
