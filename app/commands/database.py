"""`migrate`, and `reset` for a database to develop on."""

import asyncio

import click

from app.commands.runtime import RefusedExit, load_settings, until_sigterm
from app.postgres import migrations
from app.postgres.migrations import MigrationError, is_on_this_machine
from app.settings import DatabaseSettings

force = click.option("--force", is_flag=True, help="Also on a database of another machine.")


@click.command()
def migrate() -> None:
    """Bring the database's schema up to date; safe to run twice and from two machines."""
    settings = load_settings(DatabaseSettings)
    try:
        asyncio.run(until_sigterm(migrations.migrate(settings.database_url.get_secret_value())))
    except MigrationError as error:
        raise click.ClickException(str(error)) from None
    except asyncio.CancelledError:
        raise click.ClickException("Stopped before the end; nothing of the file under way was kept.") from None


@click.command()
@force
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(*, force: bool, yes: bool) -> None:
    """Drop every table of the service with all that is in it, and migrate again."""
    url = development_url(force=force)
    question = "Every user, session and message in the database will be lost. Type reset to go on"
    if not yes and click.prompt(question, default="", show_default=False, err=True) != "reset":
        raise click.ClickException("Nothing was changed.")
    try:
        asyncio.run(until_sigterm(migrations.reset(url)))
    except MigrationError as error:
        raise click.ClickException(str(error)) from None
    except asyncio.CancelledError:
        raise click.ClickException("Stopped before the end; run migrate.") from None
    click.echo("The tables are empty and up to date.")


def development_url(*, force: bool) -> str:
    """The database's address, if it is one to develop on."""
    url = load_settings(DatabaseSettings).database_url.get_secret_value()
    if not (force or is_on_this_machine(url)):
        raise RefusedExit("the database is on another machine, and only --force says that it is the one you mean")
    return url
