"""How every command reads its settings, is stopped by signals, and fails."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

from app import settings as environment
from app.http.client import check_proxy
from app.settings import ConfigurationError, Settings, SettingsType

Result = TypeVar("Result")
# Prints a line; click.echo, or a list's append in tests.
Echo = Callable[[str], object]


class Misconfigured(click.ClickException):
    """Exit 78 (EX_CONFIG of sysexits.h), with every problem at once."""

    exit_code = 78

    def show(self, file: object = None) -> None:  # noqa: ARG002  # click's signature.
        click.echo("The configuration cannot be used; .env.example explains each variable.", err=True)
        for problem in self.message.splitlines():
            click.echo(f"  {problem}", err=True)


class RefusedExit(click.ClickException):
    """Exit 3: the command could do harm that cannot be undone, so it has done nothing."""

    exit_code = 3

    def show(self, file: object = None) -> None:  # noqa: ARG002  # click's signature.
        click.echo(f"Refused, and nothing was changed: {self.message}.", err=True)


def load_settings(settings: type[SettingsType]) -> SettingsType:
    try:
        loaded = environment.load(settings)
        if isinstance(loaded, Settings):
            uses_proxy(loaded)
    except ConfigurationError as error:
        raise Misconfigured(str(error)) from None
    return loaded


def uses_proxy(settings: Settings) -> bool:
    """Whether calls to Backboard or Clerk may go through a proxy; ConfigurationError if it cannot be used."""
    clerk = settings.clerk_api_url if settings.clerk_secret_key else None
    return check_proxy(settings.backboard_api_url, clerk, settings.clerk_issuer)


def run_until_sigterm(work: Coroutine[Any, Any, Result], *, if_stopped: str) -> Result:
    """Run a command; SIGTERM cancels it, and it can clean up. `if_stopped` tells the operator how to go on."""
    try:
        return asyncio.run(_cancel_at_sigterm(work))
    except asyncio.CancelledError:
        raise click.ClickException(f"Stopped before the end; {if_stopped}.") from None


async def _cancel_at_sigterm(work: Coroutine[Any, Any, Result]) -> Result:
    task = asyncio.ensure_future(work)

    def stop() -> None:
        # A second signal must not cancel the clean-up.
        if not task.cancelling():
            task.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    return await task
