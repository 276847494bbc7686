"""The commands for a database to develop on: `seed`, `reset` and `psql`."""

import asyncio

import click

from app.settings import DatabaseSettings, PsqlSettings
from app.terminal import Harmful, load_settings, until_sigterm

_force = click.option("--force", is_flag=True, help="Also on a database of another machine.")


def _development_url(*, force: bool) -> str:
    """The database's address, if it is one to develop on."""
    from app.migrations import is_on_this_machine

    url = load_settings(DatabaseSettings).database_url.get_secret_value()
    if not (force or is_on_this_machine(url)):
        raise Harmful("the database is on another machine, and only --force says that it is the one you mean")
    return url


@click.command()
@_force
def seed(*, force: bool) -> None:
    """Fill the database with sample users, sessions and messages, to develop on; a second run changes nothing."""
    url = _development_url(force=force)
    from app.errors import ServiceError
    from app.seed import seed as run

    try:
        number = asyncio.run(run(url))
    except ServiceError as error:
        raise click.ClickException(f"Nothing was inserted ({error.reason}); doctor says what is wrong.") from None
    click.echo(f"{number} sample users are there; Clerk and Backboard do not know them.")


@click.command()
@_force
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(*, force: bool, yes: bool) -> None:
    """Drop every table of the service with all that is in it, and migrate again."""
    url = _development_url(force=force)
    from app.migrations import MigrationError
    from app.migrations import reset as run

    question = "Every user, session and message in the database will be lost. Type reset to go on"
    if not yes and click.prompt(question, default="", show_default=False, err=True) != "reset":
        raise click.ClickException("Nothing was changed.")
    try:
        asyncio.run(until_sigterm(run(url)))
    except MigrationError as error:
        raise click.ClickException(str(error)) from None
    except asyncio.CancelledError:
        raise click.ClickException("Stopped before the end; run migrate.") from None
    click.echo("The tables are empty and up to date.")


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(*, arguments: tuple[str, ...]) -> None:
    """Open psql on the configured database; ARGUMENTS are psql's own."""
    from app.psql import NoPsql, run

    try:
        run(load_settings(PsqlSettings), arguments)
    except NoPsql as error:
        raise click.ClickException(str(error)) from None
