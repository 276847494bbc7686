"""`erase`: everything of one user goes, at both ends, and the counts before and after are the proof.

It begins as user.deleted does, with the tombstone, so that nobody makes anything anew meanwhile. The tombstone stays:
it holds nothing but the Clerk id, and without it a late event would bring the user back.
"""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import click

from app import log
from app.backboard.client import Backboard
from app.clerk.users import CLERK_ID
from app.commands.runtime import load_settings, until_sigterm
from app.components import build_components, open_components
from app.deadline import Deadline
from app.errors import Unavailable
from app.postgres.pipeline import execute
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.postgres.transaction import run_transaction
from app.settings import Settings
from app.users.deletion import UserDeletion

# Deleting 100,000 messages takes about a second.
STATEMENT_MS = 120_000
SECONDS = 130.0


@click.command()
@click.argument("clerk_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(*, clerk_id: str, yes: bool) -> None:
    """Delete everything of one user here and at Backboard, for good, and print what there was and what is left.

    Exit codes: 0 nothing is left, 1 something is, or nothing was begun.
    """
    settings = load_settings(Settings)
    if not CLERK_ID.fullmatch(clerk_id):
        raise click.UsageError("CLERK_ID is user_ and 1 to 64 letters and digits.")
    log.configure(settings.log_format, "warning", stream=sys.stderr)
    try:
        erased = asyncio.run(until_sigterm(run(settings, clerk_id, None if yes else _confirm)))
    except Unavailable as error:
        raise click.ClickException(f"Not everything could be deleted ({error.reason}); run it again.") from None
    except asyncio.CancelledError:
        raise click.ClickException("Stopped before the end; run it again and it goes on.") from None
    if not erased:
        sys.exit(1)


def _confirm(clerk_id: str) -> bool:
    question = f"{clerk_id} will be refused from now on, and all of this is lost. Type the id to go on"
    return bool(click.prompt(question, default="", show_default=False, err=True) == clerk_id)


async def run(settings: Settings, clerk_id: str, confirm: "Confirm | None") -> bool:
    components = build_components(settings)
    async with open_components(components):
        work = Erasure(
            queries=components.queries,
            provisioning_pool=components.provisioning_pool,
            backboard=components.backboard,
            deletion=components.deletion,
        )
        return await work.run(clerk_id, confirm, click.echo)


@dataclass(frozen=True, slots=True)
class Belongings:
    """How many rows of each kind there are here, and what Backboard still has."""

    users: int
    sessions: int
    messages: int
    preferences: int
    deleted_threads: int
    session_attempts: int
    assistants: int = 0
    threads: int = 0

    @property
    def are_none(self) -> bool:
        return not any(asdict(self).values())


# Asks a person, who is shown the counts.
Confirm = Callable[[str], bool]


class Erasure:
    """Counts and erases; Unavailable when something does not answer, and then it may be called again."""

    def __init__(
        self, *, queries: Queries, provisioning_pool: Pool, backboard: Backboard, deletion: UserDeletion
    ) -> None:
        self._queries = queries
        self._provisioning_pool = provisioning_pool
        self._backboard = backboard
        self._deletion = deletion
        # The assistant whose id the row held, which may bear another name by now.
        self._held: set[str] = set()

    async def run(self, clerk_id: str, confirm: Confirm | None, say: Callable[[str], object]) -> bool:
        """Count, ask, erase, count again, and say it all; whether nothing is left."""
        before = await self.count(clerk_id)
        if before.are_none:
            say(f"There is nothing of {clerk_id}, here or at Backboard.")
            return True
        _print(say, before)
        if confirm is not None and not confirm(clerk_id):
            say("Nothing was changed.")
            return False
        await self.erase(clerk_id)
        after = await self.count(clerk_id)
        _print(say, before, after)
        say("Nothing is left but the tombstone, which holds the id." if after.are_none else "Something is left.")
        return after.are_none

    async def count(self, clerk_id: str) -> Belongings:
        """What belongs to a user at both ends."""
        find = (self._queries.find_users, {"clerk_ids": [clerk_id]})
        get = (self._queries.count_user_data, {"clerk_id": clerk_id})
        async with self._provisioning_pool.connection() as connection:
            users, rows = await execute(connection, find, get, seconds=SECONDS)
        self._held |= {row[2] for row in users if row[2] is not None}
        assistants = await self._assistants(clerk_id)
        threads = [await self._backboard.list_threads(assistant_id, Deadline()) for assistant_id in sorted(assistants)]
        return replace(Belongings(*rows[0]), assistants=len(assistants), threads=sum(map(len, threads)))

    async def erase(self, clerk_id: str) -> None:
        """Delete everything; what was counted before says which assistant the row held."""
        await self._deletion.delete(clerk_id, Deadline())
        for assistant_id in await self._assistants(clerk_id):
            await self._backboard.delete_assistant(assistant_id, Deadline())
        queries, user = self._queries, {"clerk_id": clerk_id}
        async with self._provisioning_pool.connection() as connection:
            await run_transaction(
                connection,
                queries,
                (queries.lock_sessions, user),
                (queries.lock_user, user),
                (queries.delete_user_messages, user),
                (queries.delete_user_sessions, user),
                (queries.delete_user_threads, user),
                (queries.delete_user_attempts, user),
                (queries.delete_preferences, user),
                (queries.delete_user, user),
                seconds=SECONDS,
                statement_ms=STATEMENT_MS,
            )

    async def _assistants(self, clerk_id: str) -> set[str]:
        """The assistants of this user's name, and the one that the row held, as far as they exist.

        Not what another user's row holds, whatever it is called.
        """
        named = {assistant.id for assistant in await self._backboard.find_assistants(clerk_id, Deadline())}
        held = [await self._backboard.get_assistant(one, Deadline()) for one in sorted(self._held - named)]
        found = named | {assistant.id for assistant in held if assistant is not None}
        query = (self._queries.find_assistant_owners, {"assistant_ids": sorted(found)})
        async with self._provisioning_pool.connection() as connection:
            (owners,) = await execute(connection, query, seconds=SECONDS)
        return found - {assistant_id for assistant_id, owner_id in owners if owner_id != clerk_id}


def _print(say: Callable[[str], object], *counts: Belongings) -> None:
    say(f"{'':<18}" + "".join(f"{word:>10}" for word in ("before", "after")[: len(counts)]))
    for name in asdict(counts[0]):
        say(f"{name.replace('_', ' '):<18}" + "".join(f"{asdict(one)[name]:>10}" for one in counts))
