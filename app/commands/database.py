"""`migrate`, and `reset` for a database to develop on."""

import sys
from collections.abc import Coroutine
from typing import TypeVar

import click

from app.commands.runtime import RefusedExit, load_settings, run_until_sigterm
from app.postgres import development, migrations
from app.postgres.applied_migrations import MigrationError
from app.settings import DatabaseSettings
from app.settings.database_address import is_on_this_machine

Result = TypeVar("Result")

force_option = click.option("--force", is_flag=True, help="Also on a database of another machine.")


@click.command()
@click.option("--status", is_flag=True, help="Only say which files were applied, and when.")
@click.option("--down", is_flag=True, help="Take the last file back, in a database to develop on.")
@force_option
@click.option("--yes", is_flag=True, help="Do not ask before --down.")
def migrate(*, status: bool, down: bool, force: bool, yes: bool) -> None:
    """Bring the database's schema up to date; safe to run twice and from two machines.

    Exit codes: 0 it is up to date, or with --down a file was taken back, 1 it failed, or with --status a file is
    pending.
    """
    if (status and down) or ((force or yes) and not down):
        raise click.UsageError("--status and --down stand alone; --force and --yes belong to --down.")
    if status:
        _print_status()
    elif down:
        _migrate_down(force=force, yes=yes)
    else:
        _migrate_up()


def _migrate_up() -> None:
    url = load_settings(DatabaseSettings).database_url.get_secret_value()
    applied = _run(migrations.migrate(url), if_stopped="nothing of the file under way was kept")
    for file in applied:
        click.echo(f"Applied {file}")
    if not applied:
        click.echo("The schema is up to date; nothing was applied.")


def _print_status() -> None:
    url = load_settings(DatabaseSettings).database_url.get_secret_value()
    states = _run(migrations.status(url), if_stopped="nothing was changed")
    width = max(len(state.file) for state in states)
    for state in states:
        when = f"applied {state.applied_at:%Y-%m-%d %H:%M:%S} UTC" if state.applied_at else "applied"
        click.echo(f"{state.file:{width}}  {when if state.is_applied else 'pending'}")
    if not all(state.is_applied for state in states):
        sys.exit(1)


def _migrate_down(*, force: bool, yes: bool) -> None:
    url = development_url(force=force)
    question = "What the last migration has made will be dropped, with the data in it. Type down to go on"
    if not yes and click.prompt(question, default="", show_default=False, err=True) != "down":
        raise click.ClickException("Nothing was changed.")
    file = _run(development.roll_back(url), if_stopped="nothing was changed, or run it again")
    click.echo(f"Took back {file}" if file else "No migration was applied; nothing was taken back.")


@click.command()
@force_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(*, force: bool, yes: bool) -> None:
    """Drop every table of the service with all that is in it, and migrate again."""
    url = development_url(force=force)
    question = "Every user, session and message in the database will be lost. Type reset to go on"
    if not yes and click.prompt(question, default="", show_default=False, err=True) != "reset":
        raise click.ClickException("Nothing was changed.")
    _run(development.reset(url), if_stopped="run migrate")
    click.echo("The tables are empty and up to date.")


def development_url(*, force: bool) -> str:
    """The database's address; refused on another machine, unless forced."""
    url = load_settings(DatabaseSettings).database_url.get_secret_value()
    if not (force or is_on_this_machine(url)):
        raise RefusedExit("the database is on another machine, and only --force says that it is the one you mean")
    return url


def _run(migration: Coroutine[None, None, Result], *, if_stopped: str) -> Result:
    try:
        return run_until_sigterm(migration, if_stopped=if_stopped)
    except MigrationError as error:
        raise click.ClickException(str(error)) from None
