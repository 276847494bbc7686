"""The commands: `python -m app COMMAND`.

Each imports what it needs when it runs: serving needs svix, which takes longer to import than everything else
together, and migrating does not.
"""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from app import settings as environment
from app.settings import ConfigurationError, DatabaseSettings, Read, SenderSettings, Settings


class Misconfigured(click.ClickException):
    """Exit 78 (EX_CONFIG of sysexits.h), with every problem at once."""

    exit_code = 78

    def show(self, file: object = None) -> None:  # noqa: ARG002  # click's signature.
        click.echo("The configuration cannot be used; .env.example explains each variable.", err=True)
        for problem in self.message.splitlines():
            click.echo(f"  {problem}", err=True)


def _load(settings: type[Read]) -> Read:
    try:
        return environment.load(settings)
    except ConfigurationError as error:
        raise Misconfigured(str(error)) from None


async def _until_sigterm(work: Coroutine[Any, Any, None]) -> None:
    """Run a command's work so that SIGTERM cancels it, and it can end what it has started."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await task


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Give each Clerk user exactly one Backboard assistant and one row in Postgres."""


@main.command()
def serve() -> None:
    """Run the web process on PORT."""
    settings = _load(Settings)
    from app.server import serve as run  # See the module's docstring.

    run(settings)


@main.command()
def migrate() -> None:
    """Bring the database's schema up to date; safe to run twice and from two machines."""
    settings = _load(DatabaseSettings)
    from app.migrations import MigrationError
    from app.migrations import migrate as run

    try:
        asyncio.run(_until_sigterm(run(settings.database_url.get_secret_value())))
    except MigrationError as error:
        raise click.ClickException(str(error)) from None
    except asyncio.CancelledError:
        raise click.ClickException("Stopped before the end; nothing of the file under way was kept.") from None


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

    settings = _load(SenderSettings)
    try:
        messages = sender.messages(event=event, file=file, count=count, clerk_id=clerk_id, duplicate=duplicate)
    except sender.NoSuchSample as error:
        raise click.UsageError(str(error)) from None
    secret = settings.clerk_webhook_signing_secret[0].get_secret_value()
    address = url or f"http://127.0.0.1:{settings.port}"
    if not sender.deliver(messages, secret=secret, url=address, say=click.echo):
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
