"""The commands: `python -m app COMMAND`.

Each imports what it needs when it runs: serving needs svix, which takes longer to import than everything else
together, and migrating does not.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic

import click

from app import development
from app.settings import DatabaseSettings, SenderSettings, Settings
from app.terminal import Harmful, Misconfigured, load_settings, until_sigterm

PROGRESS_SECONDS = 3.0
# Far more than anybody waits for, and no date of a calendar is left behind.
LONGEST_WAIT = timedelta(days=36_500)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Give each Clerk user exactly one Backboard assistant and one row in Postgres."""


@main.command()
def serve() -> None:
    """Run the web process on PORT."""
    settings = load_settings(Settings)
    from app.web import CannotListen  # See the module's docstring.
    from app.web import serve as run

    try:
        run(settings)
    except CannotListen as error:
        raise click.ClickException(str(error)) from None


@main.command()
def migrate() -> None:
    """Bring the database's schema up to date; safe to run twice and from two machines."""
    settings = load_settings(DatabaseSettings)
    from app.migrations import MigrationError
    from app.migrations import migrate as run

    try:
        asyncio.run(until_sigterm(run(settings.database_url.get_secret_value())))
    except MigrationError as error:
        raise click.ClickException(str(error)) from None
    except asyncio.CancelledError:
        raise click.ClickException("Stopped before the end; nothing of the file under way was kept.") from None


@main.command(
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
    from app import logs
    from app.drift import NoClerkKey, Refused, Waits
    from app.errors import DatabaseUnavailable
    from app.reconcile import as_json, as_table, refusal_as_json
    from app.server import reconcile as run

    logs.configure(settings.log_format, settings.log_level, stream=sys.stderr)
    waits = Waits(timedelta(seconds=min_age), timedelta(days=keep_days))
    try:
        report = asyncio.run(until_sigterm(run(settings, everybody=everybody, apply=apply, waits=waits)))
    except Refused as error:
        if machine_readable:
            click.echo(refusal_as_json(error.reason))
        raise Harmful(error.reason) from None
    except NoClerkKey as error:
        raise Misconfigured(f"CLERK_SECRET_KEY is not set: {error.reason}") from None
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


@main.command()
def backfill() -> None:
    """Make sure of every user of the Clerk instance.

    It may be stopped and run again at any time: who is there already costs next to nothing. Exit codes: 0 everybody
    is there, 1 somebody is not.
    """
    settings = load_settings(Settings)
    if settings.clerk_secret_key is None:
        raise Misconfigured("CLERK_SECRET_KEY is not set: only Clerk knows who there is")
    from app import logs
    from app.errors import Unavailable
    from app.server import backfill as run

    logs.configure(settings.log_format, "warning", stream=sys.stderr)
    try:
        summary = asyncio.run(run(settings, _progress))
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


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], object]]:
    """A bar on a terminal, a line every few seconds elsewhere."""
    if sys.stderr.isatty():
        with click.progressbar(length=total, label="Users", file=sys.stderr) as bar:
            yield lambda: bar.update(1)
        return
    lines = ProgressLines(total)
    yield lines.advance
    lines.say()


class ProgressLines:
    """Counts, and says so every few seconds."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._said_at = monotonic()

    def advance(self) -> None:
        self._done += 1
        if monotonic() - self._said_at > PROGRESS_SECONDS:
            self.say()

    def say(self) -> None:
        self._said_at = monotonic()
        click.echo(f"{self._done} of {self._total} users", err=True)


@main.command()
@click.argument("clerk_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(*, clerk_id: str, yes: bool) -> None:
    """Delete everything of one user here and at Backboard, for good, and print what there was and what is left.

    Exit codes: 0 nothing is left, 1 something is, or nothing was begun.
    """
    settings = load_settings(Settings)
    from app import logs
    from app.errors import Unavailable
    from app.server import erase as run
    from app.users import CLERK_ID

    if not CLERK_ID.fullmatch(clerk_id):
        raise click.UsageError("CLERK_ID is user_ and 1 to 64 letters and digits.")
    logs.configure(settings.log_format, "warning", stream=sys.stderr)
    try:
        erased = asyncio.run(until_sigterm(run(settings, clerk_id, None if yes else _confirm, click.echo)))
    except Unavailable as error:
        raise click.ClickException(f"Not everything could be deleted ({error.reason}); run it again.") from None
    except asyncio.CancelledError:
        raise click.ClickException("Stopped before the end; run it again and it goes on.") from None
    if not erased:
        sys.exit(1)


def _confirm(clerk_id: str) -> bool:
    question = f"{clerk_id} will be refused from now on, and all of this is lost. Type the id to go on"
    return bool(click.prompt(question, default="", show_default=False, err=True) == clerk_id)


@main.command()
def doctor() -> None:
    """Say what is wrong with this environment and what to do; change nothing, and exit with 0 only if all is well."""
    from app import logs
    from app.doctor import examine

    with Path(os.devnull).open("w") as nowhere:  # What is found is said once, in plain words.
        logs.configure("logfmt", "error", stream=nowhere)
        code = asyncio.run(examine(click.echo))
    sys.exit(code)


@main.command()
@click.argument("event", required=False)
@click.option("--url", help="The server's address; this machine's PORT by default.")
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, help="How many different users.")
@click.option("--duplicate", is_flag=True, help="Deliver each event twice, under one message id.")
@click.option("--clerk-id", help="The user's Clerk id; made up by default.")
@click.option("--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A body of your own.")
def trigger(
    *, event: str | None, url: str | None, count: int, duplicate: bool, clerk_id: str | None, file: Path | None
) -> None:
    """Sign a sample EVENT (user.created, ...) and deliver it as Clerk's sender would."""
    from app import trigger as sender

    if clerk_id is not None and count > 1:
        raise click.UsageError("--clerk-id names one user; leave --count out.")

    settings = load_settings(SenderSettings)
    try:
        messages = sender.messages(event=event, file=file, count=count, clerk_id=clerk_id, duplicate=duplicate)
    except sender.NoSuchSample as error:
        raise click.UsageError(str(error)) from None
    secret = settings.clerk_webhook_signing_secret[0].get_secret_value()
    address = url or f"http://127.0.0.1:{settings.port}"
    if not sender.deliver(messages, secret=secret, url=address, say=click.echo):
        sys.exit(1)


for command in (development.seed, development.reset, development.psql):
    main.add_command(command)


if __name__ == "__main__":
    sys.exit(main())
