"""A whole import: the users first, then their sessions, then the messages. Each step may be repeated."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from app import log
from app.commands.importing.chats import ChatImport
from app.commands.importing.mapping import TableMapping, Words
from app.commands.importing.models import DONE, MEANINGS, ForeignUser, Outcome, Summary, usable_uuid
from app.commands.importing.patience import OutageTooLong, Patience
from app.commands.importing.prisma import PrismaSource, Table
from app.commands.importing.users import UserImport
from app.commands.progress import Advance, progress
from app.commands.reconcile.readers import get_assistant
from app.commands.runtime import Echo, RefusedExit
from app.components import Components
from app.errors import ServiceError, Unavailable

# How many assistants are asked for, to see whether the key is that of their account; fewer say nothing.
SAMPLE = 20
FEW = 3
# How many users are named for each outcome.
NAMED = 20


@dataclass(slots=True)
class Import:
    """One run. `source` is None for a file of users alone."""

    components: Components
    source: PrismaSource | None
    users: AsyncIterator[list[ForeignUser]]
    totals: dict[str, int]
    create_missing: bool = False
    dry_run: bool = False
    summary: Summary = field(default_factory=Summary)
    patience: Patience = field(default_factory=Patience)
    # The users who are here, by their key there and by their Clerk id.
    _clerk_ids: dict[str, str] = field(default_factory=dict)

    async def run(self) -> Summary:
        try:
            ambiguous = await self.source.ambiguous() if self.source else set[str]()
            work = UserImport(self.components, ambiguous, create_missing=self.create_missing, dry_run=self.dry_run)
            with progress(self.totals["user"], "users") as advance:
                await self._take_users(work, advance)
            self.summary.renamed = work.renamed
            if self.source is not None:
                await self._take_chats(self.source)
        except OutageTooLong as error:
            self.summary.abort_reason = f"It could not go on ({error})"
        except Unavailable as error:
            self.summary.abort_reason = f"It could not go on ({error.reason})"
        return self.summary

    async def _take_users(self, work: UserImport, advance: Advance) -> None:
        """Page by page, as many users at a time as there are slots."""
        slots = asyncio.Semaphore(self.components.provisioning_pool.size)
        is_first = True

        async def take(user: ForeignUser) -> None:
            async with slots:
                outcome = await self._take_user(work, user)
            self.summary.add(outcome, user.clerk_id or f"the user {user.key}")
            if user.drops_preferences and outcome in DONE:
                self.summary.left_out["preferences that are no object or too large"] += 1
            if outcome in DONE and user.clerk_id:
                self._clerk_ids |= {user.key: user.clerk_id, user.clerk_id: user.clerk_id}
            advance()

        async for page in self.users:
            if is_first:
                await self._check_key(page)
                is_first = False
            # All of them, so that none goes on when the pools are closed.
            ends = await asyncio.gather(*(take(user) for user in page), return_exceptions=True)
            for error in (end for end in ends if isinstance(end, BaseException)):
                raise error

    async def _take_user(self, work: UserImport, user: ForeignUser) -> Outcome:
        try:
            return await self.patience.call(lambda: work.take_over(user))
        except ServiceError as error:
            log.error("import_failed", clerk_id=user.clerk_id, reason=error.reason)
        except OutageTooLong:
            raise
        except Exception as error:  # noqa: BLE001  # A bug with one user must not keep the others from being taken over.
            log.exception(error)
        return "failed"

    async def _check_key(self, page: list[ForeignUser]) -> None:
        """Refuse where Backboard has none of the first assistants: each user would lose theirs."""
        ids = [one for user in page if (one := usable_uuid(user.assistant_id)) is not None][:SAMPLE]
        found = [await get_assistant(self.components.backboard, assistant_id) for assistant_id in ids]
        if len(ids) >= FEW and not any(found):
            raise RefusedExit(
                f"Backboard has none of the first {len(ids)} assistants: BACKBOARD_API_KEY belongs to another account"
                " than these users, as it seems"
            )

    async def _take_chats(self, source: PrismaSource) -> None:
        chats = ChatImport(
            self.components,
            self.summary,
            self.patience,
            clerk_ids=self._clerk_ids,
            roles=Words(source.roles, _mapping(source.messages_table), "role"),
            statuses=Words(source.statuses, _mapping(source.sessions_table), "status"),
            shared_threads=await source.shared_threads(),
            dry_run=self.dry_run,
        )
        with progress(self.totals["session"], "sessions") as advance:
            async for sessions in source.sessions():
                await chats.take_sessions(sessions)
                _advance_by(advance, len(sessions))
        with progress(self.totals["message"], "messages") as advance:
            async for messages in source.messages():
                await chats.take_messages(messages)
                _advance_by(advance, len(messages))


def _mapping(table: Table | None) -> TableMapping | None:
    return table.mapping if table else None


def _advance_by(advance: Advance, number: int) -> None:
    for _ in range(number):
        advance()


def report(summary: Summary, echo: Echo, *, dry_run: bool) -> None:
    """Print the counts of both sides, and name what is left to do."""
    would = "would be" if dry_run else "were"
    echo(f"{summary.users.total()} users there:")
    for outcome, meaning in MEANINGS.items():
        if number := summary.users[outcome]:
            echo(f"  {number:>9} {outcome:9} {meaning}")
    if not dry_run:
        echo(f"  {summary.renamed:>9} assistants got the name that they have here")
    for name, counts in (("sessions", summary.sessions), ("messages", summary.messages)):
        echo(f"{counts.there} {name} there, {counts.here} of them {would} here" + f", {counts.new} new" * (not dry_run))
    for words, number in sorted(summary.left_out.items()):
        echo(f"  left out: {number} {words}")
    for words, keys in summary.not_here.items():
        echo(f"  not here: {len(keys)} {words}")
    _name((*summary.named.items(), *summary.not_here.items()), echo)
    if summary.abort_reason:
        echo(f"{summary.abort_reason}; run it again and it goes on.")


def _name(groups: Iterable[tuple[str, list[str]]], echo: Echo) -> None:
    for words, names in groups:
        for name in names[:NAMED]:
            echo(f"  {words}: {name}")
        if len(names) > NAMED:
            echo(f"  {words}: and {len(names) - NAMED} more")
