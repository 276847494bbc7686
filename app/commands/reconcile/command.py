"""`reconcile`: scans everything first, refuses what could do harm, then repairs one user after the other."""

import sys
from datetime import timedelta

import click

from app import log
from app.commands.reconcile.models import AssistantNames, GracePeriods, NoClerkKey, UnsafeToProceed
from app.commands.reconcile.repair import Repair
from app.commands.reconcile.report import Report, as_json, print_table, refusal_as_json
from app.commands.reconcile.scan import Scanner
from app.commands.reconcile.threads import finish_deletions
from app.commands.runtime import Misconfigured, RefusedExit, load_settings, run_until_sigterm
from app.components import build_components, open_components
from app.errors import DatabaseUnavailable
from app.settings import Settings

# A century: longer than any use, and today plus or minus this is still a date.
MAX_PERIOD = timedelta(days=36_500)


@click.command(
    epilog="Exit codes: 0 clean or repaired (what waits for its grace period counts as clean), 1 something is left,"
    " 3 refused because it could do harm, 78 only Clerk can decide and CLERK_SECRET_KEY is not set."
)
@click.option(
    "--all", "all_users", is_flag=True, help="Check every user of Clerk and every assistant, not only doubts."
)
@click.option("--apply", is_flag=True, help="Repair what is found; without it nothing is changed.")
@click.option("--json", "prints_json", is_flag=True, help="Print one JSON document instead of a table.")
@click.option(
    "--min-age",
    type=click.IntRange(0, MAX_PERIOD.days * 86_400),
    default=3600,
    show_default=True,
    metavar="SECONDS",
    help="Leave alone what is younger.",
)
@click.option(
    "--keep-days",
    type=click.IntRange(0, MAX_PERIOD.days),
    default=7,
    show_default=True,
    metavar="DAYS",
    help="How long an assistant is kept between its renaming and its deletion.",
)
def reconcile(*, all_users: bool, apply: bool, prints_json: bool, min_age: int, keep_days: int) -> None:
    """Compare Clerk, users and Backboard, and repair what differs."""
    settings = load_settings(Settings)
    log.configure(settings.log_format, settings.log_level, stream=sys.stderr)
    grace_periods = GracePeriods(timedelta(seconds=min_age), timedelta(days=keep_days))
    work = run(settings, all_users=all_users, apply=apply, grace_periods=grace_periods)
    try:
        report = run_until_sigterm(work, if_stopped="run it again and it goes on")
    except UnsafeToProceed as error:
        if prints_json:
            click.echo(refusal_as_json(str(error)))
        raise RefusedExit(str(error)) from None
    except NoClerkKey as error:
        raise Misconfigured(f"CLERK_SECRET_KEY is not set: {error}") from None
    except DatabaseUnavailable as error:
        raise click.ClickException(f"The database cannot be used ({error.reason}); `doctor` says more.") from None
    if prints_json:
        click.echo(as_json(report))
    else:
        print_table(report, click.echo)
    if not report.clean:
        sys.exit(1)


async def run(settings: Settings, *, all_users: bool, apply: bool, grace_periods: GracePeriods) -> Report:
    """Scan, and with `apply` repair; UnsafeToProceed or NoClerkKey before anything is changed."""
    components = build_components(settings)
    names = AssistantNames(settings.assistant_name_prefix)
    async with open_components(components):
        scan = await Scanner(components, names, grace_periods, all_users=all_users).scan()
        if not apply:
            threads = await finish_deletions(components, grace_periods, apply=False)
            return Report(all_users, applied=False, scan=scan, attempts_left=scan.attempts, threads=threads)
        repair = Repair(components, names, grace_periods, scan.started_at)
        for _, drift in sorted(scan.drifts.items()):
            await repair.repair(drift)
        return Report(
            all_users,
            applied=True,
            scan=scan,
            attempts_left=scan.attempts - repair.deleted_attempts,
            threads=await finish_deletions(components, grace_periods, apply=True),
            failures=repair.failures,
        )
