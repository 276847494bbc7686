"""Reconcile: look at everything first, refuse what could do harm, then mend one user after the other.

Without `apply` it only looks.
"""

import asyncio
import sys
from datetime import timedelta

import click

from app import log
from app.backboard.client import Backboard
from app.clerk.api import ClerkApi
from app.commands.reconcile.models import AssistantNames, GracePeriods, NoClerkKey, UnsafeToProceed
from app.commands.reconcile.readers import Tables
from app.commands.reconcile.repair import Repair
from app.commands.reconcile.report import Report, as_json, as_table, refusal_as_json
from app.commands.reconcile.scan import Scanner
from app.commands.runtime import Misconfigured, RefusedExit, load_settings, until_sigterm
from app.components import build_components, open_components
from app.errors import DatabaseUnavailable
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.settings import Settings
from app.users.deletion import UserDeletion
from app.users.provisioning import Provisioning

# Far more than anybody waits for, and no date of a calendar is left behind.
LONGEST_WAIT = timedelta(days=36_500)


@click.command(
    epilog="Exit codes: 0 clean or mended (what waits for its time counts as clean), 1 something is left, 3 refused"
    " because it could do harm, 78 only Clerk can decide and CLERK_SECRET_KEY is not set."
)
@click.option(
    "--all", "everybody", is_flag=True, help="Look at every user of Clerk and every assistant, not only at open doubts."
)
@click.option("--apply", is_flag=True, help="Mend what is found; without it nothing is changed.")
@click.option("--json", "machine_readable", is_flag=True, help="Print one JSON document instead of a table.")
@click.option(
    "--min-age",
    type=click.IntRange(0, LONGEST_WAIT.days * 86_400),
    default=3600,
    show_default=True,
    metavar="SECONDS",
    help="Leave alone what is younger.",
)
@click.option(
    "--keep-days",
    type=click.IntRange(0, LONGEST_WAIT.days),
    default=7,
    show_default=True,
    metavar="DAYS",
    help="How long an assistant that was put aside is kept.",
)
def reconcile(*, everybody: bool, apply: bool, machine_readable: bool, min_age: int, keep_days: int) -> None:
    """Compare Clerk, users and Backboard, and mend what differs."""
    settings = load_settings(Settings)
    log.configure(settings.log_format, settings.log_level, stream=sys.stderr)
    waits = GracePeriods(timedelta(seconds=min_age), timedelta(days=keep_days))
    try:
        report = asyncio.run(until_sigterm(run(settings, everybody=everybody, apply=apply, waits=waits)))
    except UnsafeToProceed as error:
        if machine_readable:
            click.echo(refusal_as_json(str(error)))
        raise RefusedExit(str(error)) from None
    except NoClerkKey as error:
        raise Misconfigured(f"CLERK_SECRET_KEY is not set: {error}") from None
    except DatabaseUnavailable as error:
        raise click.ClickException(f"The database cannot be used ({error.reason}); `doctor` says more.") from None
    except asyncio.CancelledError:
        raise click.ClickException("Stopped before the end; run it again and it goes on.") from None
    if machine_readable:
        click.echo(as_json(report))
    else:
        as_table(report, click.echo)
    if not report.clean:
        sys.exit(1)


async def run(settings: Settings, *, everybody: bool, apply: bool, waits: GracePeriods) -> Report:
    components = build_components(settings)
    async with open_components(components):
        work = Reconcile(
            queries=components.queries,
            query_pool=components.query_pool,
            backboard=components.backboard,
            clerk=components.clerk,
            provisioning=components.provisioning,
            deletion=components.deletion,
            names=AssistantNames(settings.assistant_name_prefix),
        )
        return await work.run(everybody=everybody, apply=apply, waits=waits)


class Reconcile:
    """The command, built on the same components as the web process."""

    def __init__(
        self,
        *,
        queries: Queries,
        query_pool: Pool,
        backboard: Backboard,
        clerk: ClerkApi | None,
        provisioning: Provisioning,
        deletion: UserDeletion,
        names: AssistantNames,
    ) -> None:
        self._queries = queries
        self._query_pool = query_pool
        self._backboard = backboard
        self._clerk = clerk
        self._provisioning = provisioning
        self._deletion = deletion
        self._names = names

    async def run(self, *, everybody: bool, apply: bool, waits: GracePeriods) -> Report:
        """Look, and with `apply` mend; UnsafeToProceed or NoClerkKey before anything is changed."""
        tables = Tables(self._queries, self._query_pool, waits.min_age.total_seconds())
        surveyor = Scanner(
            tables=tables,
            backboard=self._backboard,
            clerk=self._clerk,
            names=self._names,
            waits=waits,
            everybody=everybody,
        )
        survey = await surveyor.look()
        if not apply:
            return Report(everybody, applied=False, survey=survey, notes_left=survey.attempts)
        mending = Repair(
            queries=self._queries,
            query_pool=self._query_pool,
            backboard=self._backboard,
            provisioning=self._provisioning,
            deletion=self._deletion,
            names=self._names,
            waits=waits,
            started_at=survey.started_at,
        )
        for _, case in sorted(survey.cases.items()):
            await mending.mend(case)
        left = survey.attempts - mending.forgotten
        return Report(everybody, applied=True, survey=survey, failures=mending.failures, notes_left=left)
