"""Every user of a Clerk instance, whole or not at all, as backfill and reconcile both need them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

from app.clerk_api import ClerkApi, Page
from app.deadline import Deadline
from app.errors import ServiceError
from app.patience import ask_patiently
from app.users import Profile


class Incomplete(ServiceError):
    """Clerk's listing lacks users; `reason` is a sentence for a person, without its full stop."""


async def count_of_clerk(clerk: ClerkApi) -> int:
    """How many users Clerk counts."""
    return await ask_patiently(clerk.count_users)


async def pages_of_clerk(clerk: ClerkApi, counted: int) -> AsyncIterator[Page]:
    """Every user once, page by page; Incomplete at the end when they are fewer than `counted` before and after."""
    seen: set[str] = set()
    cursor: str | None = None
    while True:
        page = await ask_patiently(partial(clerk.list_users, cursor))
        fresh = [clerk_id for clerk_id in page.ids if clerk_id not in seen]
        yield replace(page, ids=fresh, profiles=[one for one in page.profiles if one.clerk_id not in seen])
        seen.update(fresh)
        if page.cursor is None:
            break
        if not fresh:
            raise Incomplete("Clerk's listing repeats itself")
        cursor = page.cursor
    # Users may come and go while the pages are read.
    count = min(counted, await count_of_clerk(clerk))
    if len(seen) < count:
        raise Incomplete(f"Clerk listed {len(seen)} users, and Clerk counts {count}")


async def user_at_clerk(clerk: ClerkApi, clerk_id: str) -> Profile | None:
    """One user, None by Clerk's definite word."""
    return await ask_patiently(lambda: clerk.get_user(clerk_id, Deadline()))
