"""The users' part of `doctor`: which of them have lost their assistant at Backboard."""

from app.backboard.client import Backboard
from app.commands.doctor.report import Report
from app.commands.reconcile.readers import Row, Tables, list_assistants
from app.deadline import Deadline
from app.errors import Unavailable
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.reasons import meaning_of

# So many assistants that are not listed are asked for by their ids, and so many users are named.
MOST_LOOKS = 20
MOST_NAMED = 3
TODO = (
    "Compare BACKBOARD_API_KEY with Backboard: another account's key sees none of them. If it is right, run"
    " `python -m app reconcile --apply`, which makes new ones; a user's next session does the same."
)


async def check_assistants(report: Report, pool: Pool, backboard: Backboard) -> None:
    """Compare the rows with Backboard's listing, and ask for each assistant that is not in it."""
    try:
        listing = await list_assistants(backboard)
        live = [row async for row in Tables(Queries.load(), pool, 0.0).users() if row.is_live]
        unlisted = [row for row in live if row.assistant_id not in listing.by_id]
        lost = [row.clerk_id for row in unlisted[:MOST_LOOKS] if await _is_lost(backboard, row)]
    except Unavailable as error:
        report.wrong("assistants", f"they cannot be compared: {meaning_of(error)}", "Run it again; then see Backboard.")
        return
    if not lost:
        report.ok("assistants", f"Backboard has that of every user; {len(live)} users")
        return
    more = "or more " if len(unlisted) > MOST_LOOKS else ""
    names = ", ".join(lost[:MOST_NAMED]) + (" ..." if len(lost) > MOST_NAMED else "")
    report.wrong("assistants", f"Backboard has lost those of {len(lost)} {more}of {len(live)} users: {names}", TODO)


async def _is_lost(backboard: Backboard, row: Row) -> bool:
    assert row.assistant_id is not None  # noqa: S101  # It is a user's row.
    return await backboard.get_assistant(row.assistant_id, Deadline()) is None
