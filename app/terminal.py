"""What every command does in the same way: how it reads the environment, how it is stopped, how it ends."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

import click

from app import settings as environment
from app.settings import ConfigurationError, Read

Done = TypeVar("Done")


class Misconfigured(click.ClickException):
    """Exit 78 (EX_CONFIG of sysexits.h), with every problem at once."""

    exit_code = 78

    def show(self, file: object = None) -> None:  # noqa: ARG002  # click's signature.
        click.echo("The configuration cannot be used; .env.example explains each variable.", err=True)
        for problem in self.message.splitlines():
            click.echo(f"  {problem}", err=True)


class Harmful(click.ClickException):
    """Exit 3: the command refuses, because what it would do could be wrong for good."""

    exit_code = 3

    def show(self, file: object = None) -> None:  # noqa: ARG002  # click's signature.
        click.echo(f"Refused, and nothing was changed: {self.message}.", err=True)


def load_settings(settings: type[Read]) -> Read:
    try:
        return environment.load(settings)
    except ConfigurationError as error:
        raise Misconfigured(str(error)) from None


async def until_sigterm(work: Coroutine[Any, Any, Done]) -> Done:
    """Run a command's work so that SIGTERM cancels it, once, and it can end what it has started."""
    task = asyncio.ensure_future(work)

    def stop() -> None:
        # A second signal would break off that end.
        if not task.cancelling():
            task.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    return await task
