"""`migrate`, and `reset` for a database to develop on."""

from collections.abc import Coroutine
from typing import TypeVar

import click

from app.commands.runtime import RefusedExit, load_settings, run_until_sigterm
from app.postgres import migrations
from app.postgres.applied_migrations import MigrationError
from app.settings import DatabaseSettings
from app.settings.database_address import is_on_this_machine

Result = TypeVar("Result")

force_option = click.option("--force", is_flag=True, help="Also on a database of another machine.")


@click.command()
def migrate() -> None:
    """Bring the database's schema up to date; safe to run twice and from two machines."""
    url = load_settings(DatabaseSettings).database_url.get_secret_value()
    applied = _run(migrations.migrate(url), if_stopped="nothing of the file under way was kept")
    for file in applied:
        click.echo(f"Applied {file}")
    if not applied:
        click.echo("The schema is up to date; nothing was applied.")


@click.command()
@force_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(*, force: bool, yes: bool) -> None:
    """Drop every table of the service with all that is in it, and migrate again."""
    url = development_url(force=force)
    question = "Every user, session and message in the database will be lost. Type reset to go on"
    if not yes and click.prompt(question, default="", show_default=False, err=True) != "reset":
        raise click.ClickException("Nothing was changed.")
    _run(migrations.reset(url), if_stopped="run migrate")
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
