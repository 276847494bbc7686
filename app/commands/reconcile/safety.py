"""Refuses a run that could do harm: most often a key or the database is another environment's."""

from collections.abc import Iterable

from app.backboard.client import Backboard
from app.clerk.api import ClerkApi
from app.commands.reconcile.models import DESTRUCTIVE, ScanResult, UnsafeToProceed
from app.commands.reconcile.readers import Row, Tables, get_assistant, get_user

# A run is refused above this share of all users or assistants; the absolute numbers are for small instances.
SHARE = 0.05
FEW_ROWS = 2
FEW_CANDIDATES = 20
# How many assistants, or users, are asked for by id to see whether a key belongs to this database.
SAMPLE = 20


def check_candidates(scan: ScanResult) -> None:
    """Refuse a run that would delete more than accidents explain."""
    candidates = sum(scan.count(kind, "found") for kind in DESTRUCTIVE)
    limit = max(FEW_CANDIDATES, int(scan.our_assistants * SHARE))
    if candidates > limit:
        raise UnsafeToProceed(
            f"{candidates} assistants or users would go, and more than {limit} of {scan.our_assistants} is no accident:"
            " are the keys of Clerk and Backboard and ASSISTANT_NAME_PREFIX those of this database?"
        )


def check_missing_in_clerk(missing_in_clerk: int, live_users: int) -> None:
    """Refuse a run when Clerk's listing lacks more of our users than lost events explain."""
    limit = max(FEW_CANDIDATES, int(live_users * SHARE))
    if missing_in_clerk > limit or (live_users and missing_in_clerk == live_users):
        raise UnsafeToProceed(
            f"{missing_in_clerk} of {live_users} users are not in Clerk's listing: CLERK_SECRET_KEY belongs to another"
            " instance than this database, as it seems"
        )


def check_unclaimed(total_rows: int, with_attempt: Iterable[str], with_assistant: Iterable[str]) -> None:
    """Refuse a run when users is empty while Backboard has assistants of ours that no attempt explains."""
    if total_rows == 0 and set(with_assistant) - set(with_attempt):
        raise UnsafeToProceed(
            "users is empty while Backboard has assistants with this prefix: the database or the key is another"
            " environment's, or the rows are lost and a backup has to bring them back first"
        )


async def find_lost_assistants(backboard: Backboard, unlisted: list[Row], scan: ScanResult) -> list[Row]:
    """The rows with an assistant that Backboard does not have; `unlisted` are those with one that it does not list.

    Refuse the run when more are lost than accidents explain: the key is another account's.
    """
    asked, total = unlisted, scan.live_users
    if scan.is_listing_cut:
        asked = unlisted[:SAMPLE]
        total = len(asked)
    limit = max(FEW_ROWS, int(total * SHARE))
    lost: list[Row] = []
    for row in asked:
        if row.assistant_id and await get_assistant(backboard, row.assistant_id) is None:
            lost.append(row)
        if len(lost) > limit or len(lost) == scan.live_users:
            raise UnsafeToProceed(
                f"the assistants of {len(lost)} or more of {total} users are not at Backboard, which is no"
                " accident: BACKBOARD_API_KEY belongs to another account than this database, as it seems"
            )
    return lost


async def check_clerk_key(clerk: ClerkApi, tables: Tables) -> None:
    """Refuse the run when Clerk knows none of our users: another instance's key would give all a tombstone."""
    asked = 0
    async for row in tables.users():
        if not row.is_live:
            continue
        if await get_user(clerk, row.clerk_id) is not None:
            return
        asked += 1
        if asked >= SAMPLE:
            break
    raise UnsafeToProceed(
        "Clerk knows none of the users that were asked for: CLERK_SECRET_KEY belongs to another instance"
        " than this database, as it seems"
    )
