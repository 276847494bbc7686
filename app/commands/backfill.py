"""Backfill: every user of the Clerk instance through the same path as a sign-up.

Clerk's list is read page by page, a page ahead of the work, and PROVISIONING_CONCURRENCY users are worked on at a
time. Where it was is not kept: run again, whoever has a row costs a share of one lookup and no call of Backboard.
"""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import click

from app import log
from app.clerk.api import ClerkApi, ClerkUnavailable, IncompleteListing, Page
from app.clerk.users import Profile
from app.commands.runtime import Misconfigured, load_settings, progress
from app.components import build_components, open_components
from app.deadline import Deadline
from app.errors import ServiceError, Unavailable
from app.http.client import retry_reads
from app.settings import Settings
from app.users.models import UserState
from app.users.provisioning import Provisioning

OUTCOMES = ("created", "updated", "exists", "stale", "gone", "failed")

# How often one user is tried before it counts as failed.
TRIES = 4
# For so long nobody may get done at all before the run ends: a partner or a database that is down would otherwise
# use up the tries of one user after the other.
OUTAGE_SECONDS = 300.0
# Users read ahead of the work, so that a page is there when the one before it is done.
READ_AHEAD = 500
# Why nothing moves is said so often.
WAIT_LINE_SECONDS = 10.0

Advance = Callable[[], object]


@click.command()
def backfill() -> None:
    """Make sure of every user of the Clerk instance.

    It may be stopped and run again at any time: who is there already costs next to nothing. Exit codes: 0 everybody
    is there, 1 somebody is not.
    """
    settings = load_settings(Settings)
    if settings.clerk_secret_key is None:
        raise Misconfigured("CLERK_SECRET_KEY is not set: only Clerk knows who there is")
    log.configure(settings.log_format, "warning", stream=sys.stderr)
    try:
        summary = asyncio.run(run(settings))
    except Unavailable as error:
        raise click.ClickException(f"Clerk does not say how many users there are ({error.reason}).") from None
    click.echo(summary.sentence())
    for clerk_id in summary.failures[:20]:
        click.echo(f"  failed: {clerk_id}", err=True)
    if summary.broken:
        click.echo(f"{summary.broken}; run it again.", err=True)
    if summary.stopped:
        click.echo("Stopped before the end; run it again and it goes on.", err=True)
    if not summary.complete:
        sys.exit(1)


async def run(settings: Settings) -> "Summary":
    """SIGTERM and Ctrl-C end it between two users."""
    components = build_components(settings)
    assert components.clerk is not None  # noqa: S101  # The command has looked.
    async with open_components(components):
        work = Backfill(
            clerk=components.clerk, provisioning=components.provisioning, concurrency=settings.provisioning_concurrency
        )
        for end in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(end, work.stop)
        with progress(await work.count_users()) as advance:
            return await work.run(advance)


class BrokenOff(Exception):
    """The run cannot go on; the text is a sentence for a person, without its full stop."""


@dataclass(slots=True)
class Summary:
    """What a run came to. `broken` says why it could not go on, `stopped` that somebody ended it."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    broken: str | None = None
    stopped: bool = False

    @property
    def complete(self) -> bool:
        """Whether everybody is there."""
        return not (self.stopped or self.broken or self.outcomes["failed"])

    def sentence(self) -> str:
        counts = ", ".join(f"{self.outcomes[outcome]} {outcome}" for outcome in OUTCOMES)
        return f"{self.outcomes.total()} users: {counts}"


class Backfill:
    """One run, on the components of the web process."""

    def __init__(
        self,
        *,
        clerk: ClerkApi,
        provisioning: Provisioning,
        concurrency: int,
        outage_seconds: float = OUTAGE_SECONDS,
    ) -> None:
        self._clerk = clerk
        self._provisioning = provisioning
        self._concurrency = concurrency
        self._outage_seconds = outage_seconds
        self._summary = Summary()
        self._stopping = asyncio.Event()
        self._queue: asyncio.Queue[tuple[Profile, UserState] | None] = asyncio.Queue(READ_AHEAD)
        self._failing_since: float | None = None
        self._silent_until = 0.0
        self._total = 0

    def stop(self) -> None:
        """End between two users: who is being worked on is finished, nobody else is begun."""
        self._stopping.set()

    async def count_users(self) -> int:
        """How many users Clerk counts, which `run` holds its listing to; 0 once stopped."""
        asking = asyncio.create_task(retry_reads(self._clerk.count_users))
        await self._until_stopped(asking)
        self._total = 0 if asking.cancelled() else asking.result()
        return self._total

    async def run(self, advance: Advance) -> Summary:
        """Work until everybody is done, somebody stops it, or nothing works any more."""
        workers = [asyncio.create_task(self._work(advance)) for _ in range(self._concurrency)]
        reading = asyncio.create_task(self._read_everybody())
        await self._until_stopped(reading)
        self._summary.stopped |= reading.cancelled()
        for _ in workers:
            await self._queue.put(None)
        await asyncio.gather(*workers)
        if not reading.cancelled():
            reading.result()
        return self._summary

    async def _until_stopped(self, reading: asyncio.Task[Any]) -> None:
        """Wait for what only reads, and cancel it when somebody stops the run."""
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        reading.cancel()
        stopping.cancel()
        await asyncio.wait({reading, stopping})

    async def _read_everybody(self) -> None:
        """Queue every user, with what the tables know of them."""
        try:
            async for page in self._clerk.list_all_users(self._total):
                await self._put(page)
        except ClerkUnavailable as error:
            self._summary.broken = f"Clerk could not be read ({error.reason})"
        except (IncompleteListing, BrokenOff) as error:
            self._summary.broken = str(error)

    async def _put(self, page: Page) -> None:
        """Look a whole page up at once, so that a run in which everybody exists is fast."""
        while True:
            try:
                known = await asyncio.gather(*(self._provisioning.get_state(one.clerk_id) for one in page.profiles))
            except Unavailable as error:
                await self._sit_out(error)
            else:
                break
        if page.unusable:
            log.error("backfill_failed", reason="clerk_id", users=page.unusable)
            self._summary.outcomes["failed"] += page.unusable
        for pair in zip(page.profiles, known, strict=True):
            await self._queue.put(pair)

    async def _work(self, advance: Advance) -> None:
        while (pair := await self._queue.get()) is not None:
            # Once stopped, the users that wait are taken only to empty the queue.
            outcome = None if self._stopping.is_set() else await self._try_repeatedly(*pair)
            if outcome is None:
                self._summary.stopped = self._summary.broken is None
            else:
                self._summary.outcomes[outcome] += 1
                advance()

    async def _try_repeatedly(self, profile: Profile, known: UserState) -> str | None:
        """What became of a user; None when the run ended before anything did."""
        tried = 0
        while True:
            try:
                ensured = await self._provisioning.ensure(profile, Deadline(), state=known)
            except Unavailable as error:
                tried += not error.is_outage
                if tried == TRIES:
                    return self._failed(profile, error.reason)
                if not await self._waited(error):
                    return None
            except ServiceError as error:
                return self._failed(profile, error.reason)
            except Exception as error:  # noqa: BLE001  # One user's bug must not keep the others from being done.
                log.exception(error)
                return self._failed(profile, "bug")
            else:
                self._failing_since = None
                return ensured.outcome

    async def _waited(self, error: Unavailable) -> bool:
        """Wait as long as an error asks for; False when the run is over by then."""
        try:
            await self._sit_out(error)
        except BrokenOff as broken:
            self._summary.broken = str(broken)
            self.stop()
        return not self._stopping.is_set()

    async def _sit_out(self, error: Unavailable) -> None:
        """Wait as long as an error asks for; BrokenOff when nobody got done for too long."""
        self._failing_since = self._failing_since or monotonic()
        if monotonic() - self._failing_since > self._outage_seconds:
            raise BrokenOff(f"Nobody got done for {self._outage_seconds:.0f} s ({error.reason})") from error
        if error.is_outage and monotonic() > self._silent_until:
            self._silent_until = monotonic() + WAIT_LINE_SECONDS
            log.error("backfill_waits", reason=error.reason)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), error.retry_after)

    def _failed(self, profile: Profile, reason: str) -> str:
        log.error("backfill_failed", clerk_id=profile.clerk_id, reason=reason)
        self._summary.failures.append(profile.clerk_id)
        return "failed"
