"""`erase`: deletes everything of one user, here and at Backboard; the counts before and after prove it.

It begins like user.deleted, with the tombstone, so that nothing is created meanwhile. The tombstone stays: it holds
the Clerk id and nothing else, and without it a late event would bring the user back.
"""

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import click

from app import log
from app.commands.person import check_person, find_person
from app.commands.runtime import Echo, load_settings, run_until_sigterm
from app.components import Components, build_components, open_components
from app.deadline import Deadline
from app.errors import Unavailable
from app.postgres.pipeline import execute
from app.postgres.transaction import run_transaction
from app.settings import Settings

# Deleting 100,000 messages takes about a second.
STATEMENT_MS = 120_000
SECONDS = 130.0

# Shows the operator the counts and asks; whether to go on.
Confirm = Callable[[str], bool]


@click.command()
@click.argument("person", metavar="CLERK_ID|EMAIL")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(*, person: str, yes: bool) -> None:
    """Delete everything of one user here and at Backboard, for good, and print what there was and what is left.

    Exit codes: 0 nothing is left, 1 something is, or nothing was begun; 2 several users have the address.
    """
    check_person(person)
    settings = load_settings(Settings)
    log.configure(settings.log_format, "warning", stream=sys.stderr)
    work = run(settings, person, None if yes else _confirm)
    try:
        is_erased = run_until_sigterm(work, if_stopped="run it again and it goes on")
    except Unavailable as error:
        raise click.ClickException(f"Not everything could be deleted ({error.reason}); run it again.") from None
    if not is_erased:
        sys.exit(1)


def _confirm(clerk_id: str) -> bool:
    question = f"{clerk_id} will be refused from now on, and all of this is lost. Type the id to go on"
    return bool(click.prompt(question, default="", show_default=False, err=True) == clerk_id)


async def run(settings: Settings, person: str, confirm: Confirm | None) -> bool:
    components = build_components(settings)
    async with open_components(components):
        clerk_id = await find_person(components, person)
        return await Erasure(components, clerk_id).run(confirm, click.echo)


@dataclass(frozen=True, slots=True)
class UserData:
    """How many rows of each kind there are here, and what Backboard has."""

    users: int
    sessions: int
    messages: int
    preferences: int
    deleted_threads: int
    session_attempts: int
    deliveries: int
    actions: int
    assistants: int = 0
    threads: int = 0
    memories: int = 0

    @property
    def is_empty(self) -> bool:
        return not any(asdict(self).values())


class Erasure:
    """Counts and erases the data of one user; after Unavailable, it may be repeated."""

    def __init__(self, components: Components, clerk_id: str) -> None:
        self._components = components
        self._queries = components.queries
        self._pool = components.provisioning_pool
        self._backboard = components.backboard
        self._deletion = components.deletion
        self._clerk_id = clerk_id
        # The assistant of the user's row, which may have been renamed at Backboard.
        self._own_assistants: set[str] = set()
        # Every assistant that a count has found: what is remembered under one that is gone would count as left.
        self._seen_assistants: set[str] = set()

    async def run(self, confirm: Confirm | None, echo: Echo) -> bool:
        """Count, ask, erase, count again; whether nothing is left."""
        before = await self.count()
        if before.is_empty:
            echo(f"There is nothing of {self._clerk_id}, here or at Backboard.")
            return True
        _print_counts(echo, before)
        if confirm is not None and not confirm(self._clerk_id):
            echo("Nothing was changed.")
            return False
        await self.erase()
        after = await self.count()
        _print_counts(echo, before, after)
        echo("Nothing is left but the tombstone, which holds the id." if after.is_empty else "Something is left.")
        return after.is_empty

    async def count(self) -> UserData:
        find = (self._queries.find_users, {"clerk_ids": [self._clerk_id]})
        count = (self._queries.count_user_data, {"clerk_id": self._clerk_id})
        async with self._pool.connection() as connection:
            users, counts = await execute(connection, find, count, seconds=SECONDS)
        self._own_assistants |= {row[2] for row in users if row[2] is not None}
        assistants = await find_assistants(self._components, self._clerk_id, self._own_assistants)
        self._seen_assistants |= assistants
        threads = [await self._backboard.list_threads(assistant_id, Deadline()) for assistant_id in sorted(assistants)]
        memories = [await self._backboard.count_memories(one, Deadline()) for one in sorted(self._seen_assistants)]
        counted = UserData(*counts[0])
        return replace(counted, assistants=len(assistants), threads=sum(map(len, threads)), memories=sum(memories))

    async def erase(self) -> None:
        """Delete everything; the count before has found out which assistant the row has."""
        await self._deletion.delete(self._clerk_id, Deadline())
        for assistant_id in await find_assistants(self._components, self._clerk_id, self._own_assistants):
            await self._backboard.delete_assistant(assistant_id, Deadline())
        queries, user = self._queries, {"clerk_id": self._clerk_id}
        async with self._pool.connection() as connection:
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
                (queries.delete_user_deliveries, user),
                (queries.clear_user_actions, user),
                seconds=SECONDS,
                statement_ms=STATEMENT_MS,
            )


async def find_assistants(components: Components, clerk_id: str, own: set[str]) -> set[str]:
    """The existing assistants of the user's name and of the user's row, `own`, without those of another user's row."""
    backboard = components.backboard
    named = {assistant.id for assistant in await backboard.find_assistants(clerk_id, Deadline())}
    renamed = [await backboard.get_assistant(one, Deadline()) for one in sorted(own - named)]
    found = named | {assistant.id for assistant in renamed if assistant is not None}
    query = (components.queries.find_assistant_owners, {"assistant_ids": sorted(found)})
    async with components.provisioning_pool.connection() as connection:
        (owners,) = await execute(connection, query, seconds=SECONDS)
    return found - {assistant_id for assistant_id, owner_id in owners if owner_id != clerk_id}


def _print_counts(echo: Echo, *counts: UserData) -> None:
    echo(f"{'':<18}" + "".join(f"{word:>10}" for word in ("before", "after")[: len(counts)]))
    for name in asdict(counts[0]):
        echo(f"{name.replace('_', ' '):<18}" + "".join(f"{asdict(one)[name]:>10}" for one in counts))
