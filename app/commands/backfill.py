"""`backfill`: provisions every user of the Clerk instance, by the same path as a sign-up.

Clerk's listing is read page by page, and PROVISIONING_CONCURRENCY users are provisioned at a time. No position is
kept: in the next run, a user with a row costs a share of one lookup and no call of Backboard.
"""

import asyncio
import signal
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import click

from app import log
from app.clerk.api import ClerkApi, ClerkUnavailable, IncompleteListing
from app.clerk.users import Profile
from app.commands.progress import Advance, progress
from app.commands.runtime import Misconfigured, load_settings
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
# The run ends when no user could be provisioned for this time: Backboard or the database is down, and going on would
# use up the tries of one user after the other.
OUTAGE_SECONDS = 300.0
# How often a line says why the run waits.
WAIT_LINE_SECONDS = 10.0


@click.command()
def backfill() -> None:
    """Make sure that every user of the Clerk instance has a row and an assistant.

    It may be stopped and run again at any time: a user who has a row costs next to nothing. Exit codes: 0 every user
    has a row, 1 some have none.
    """
    settings = load_settings(Settings)
    if settings.clerk_secret_key is None:
        raise Misconfigured("CLERK_SECRET_KEY is not set: only Clerk knows its users")
    log.configure(settings.log_format, "warning", stream=sys.stderr)
    try:
        summary = asyncio.run(run(settings))
    except Unavailable as error:
        raise click.ClickException(f"Clerk does not say how many users there are ({error.reason}).") from None
    click.echo(summary.sentence())
    for clerk_id in summary.failures[:20]:
        click.echo(f"  failed: {clerk_id}", err=True)
    if summary.abort_reason:
        click.echo(f"{summary.abort_reason}; run it again.", err=True)
    elif summary.stopped:
        click.echo("Stopped before the end; run it again and it goes on.", err=True)
    if not summary.complete:
        sys.exit(1)


async def run(settings: Settings) -> "Summary":
    """Run until all users are done; SIGTERM and Ctrl-C end it between two users."""
    components = build_components(settings)
    assert components.clerk is not None  # noqa: S101  # The command has checked the key.
    async with open_components(components):
        work = Backfill(
            clerk=components.clerk, provisioning=components.provisioning, concurrency=settings.provisioning_concurrency
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, work.stop)
        with progress(await work.count_users(), "users") as advance:
            return await work.run(advance)


@dataclass(slots=True)
class Summary:
    """The result of a run: `abort_reason` is set when it could not go on, `stopped` when a signal ended it."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    abort_reason: str | None = None
    stopped: bool = False

    @property
    def complete(self) -> bool:
        """Whether every user of Clerk is provisioned."""
        return not (self.stopped or self.abort_reason or self.outcomes["failed"])

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
        self._outage_seconds = outage_seconds
        self._summary = Summary()
        self._stopping = asyncio.Event()
        self._slots = asyncio.Semaphore(concurrency)
        self._under_way: set[asyncio.Task[None]] = set()
        self._failing_since: float | None = None
        self._quiet_until = 0.0
        self._total = 0

    def stop(self) -> None:
        """Finish the users that are being provisioned, and start no other."""
        self._stopping.set()

    async def count_users(self) -> int:
        """The number of users that Clerk counts, which `run` expects of the listing; 0 when stopped."""
        counting = asyncio.create_task(retry_reads(self._clerk.count_users))
        await self._until_stopped(counting)
        self._total = 0 if counting.cancelled() else counting.result()
        return self._total

    async def run(self, advance: Advance) -> Summary:
        """Provision all users, until a stop or an outage that lasts too long."""
        starting = asyncio.create_task(self._start_all(advance))
        await self._until_stopped(starting)
        await asyncio.gather(*self._under_way)
        if starting.cancelled():
            self._summary.stopped = True
        else:
            starting.result()
        return self._summary

    async def _until_stopped(self, task: asyncio.Task[Any]) -> None:
        """Wait for a task that changes nothing itself, and cancel it at a stop."""
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        task.cancel()
        stopping.cancel()
        await asyncio.wait({task, stopping})

    async def _start_all(self, advance: Advance) -> None:
        """Start every user of Clerk as soon as a slot is free."""
        try:
            async for page in self._clerk.list_all_users(self._total):
                if page.unusable:
                    log.error("backfill_failed", reason="clerk_id", users=page.unusable)
                    self._summary.outcomes["failed"] += page.unusable
                for profile, state in zip(page.profiles, await self._look_up(page.profiles), strict=True):
                    await self._slots.acquire()
                    task = asyncio.create_task(self._work(profile, state, advance))
                    self._under_way.add(task)
                    task.add_done_callback(self._under_way.discard)
        except ClerkUnavailable as error:
            self._summary.abort_reason = f"Clerk could not be read ({error.reason})"
        except IncompleteListing as error:
            self._summary.abort_reason = str(error)

    async def _look_up(self, profiles: list[Profile]) -> list[UserState]:
        """What Postgres has of a whole page: one lookup, so that a run in which all users exist is fast."""
        while True:
            try:
                return await asyncio.gather(*(self._provisioning.get_state(one.clerk_id) for one in profiles))
            except Unavailable as error:
                await self._wait(error)

    async def _work(self, profile: Profile, state: UserState, advance: Advance) -> None:
        outcome = await self._provision(profile, state)
        self._slots.release()
        if outcome is None:
            self._summary.stopped = True
            return
        self._summary.outcomes[outcome] += 1
        advance()

    async def _provision(self, profile: Profile, state: UserState) -> str | None:
        """The outcome of a user, after a few tries; None when the run ended before there was one."""
        tries = 0
        while not self._stopping.is_set():
            try:
                ensured = await self._provisioning.ensure(profile, Deadline(), state=state)
            except Unavailable as error:
                tries += not error.is_outage
                if tries == TRIES:
                    return self._failed(profile, error.reason)
                await self._wait(error)
            except ServiceError as error:
                return self._failed(profile, error.reason)
            except Exception as error:  # noqa: BLE001  # A bug with one user must not keep the others from being provisioned.
                log.exception(error)
                return self._failed(profile, "bug")
            else:
                self._failing_since = None
                return ensured.outcome
        return None

    async def _wait(self, error: Unavailable) -> None:
        """Wait as long as an error asks for; stop the run when no user could be provisioned for too long."""
        self._failing_since = self._failing_since or monotonic()
        if monotonic() - self._failing_since > self._outage_seconds:
            self._summary.abort_reason = f"No user was done for {self._outage_seconds:.0f} s ({error.reason})"
            self.stop()
        elif error.is_outage and monotonic() > self._quiet_until:
            self._quiet_until = monotonic() + WAIT_LINE_SECONDS
            log.error("backfill_waits", reason=error.reason)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), error.retry_after)

    def _failed(self, profile: Profile, reason: str) -> str:
        log.error("backfill_failed", clerk_id=profile.clerk_id, reason=reason)
        self._summary.failures.append(profile.clerk_id)
        return "failed"
