"""What every command does in the same way: how it reads the environment, how it is stopped, how it ends."""

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, TypeVar

import click

from app import settings as environment
from app.settings import ConfigurationError, SettingsType

Done = TypeVar("Done")

PROGRESS_SECONDS = 3.0


class Misconfigured(click.ClickException):
    """Exit 78 (EX_CONFIG of sysexits.h), with every problem at once."""

    exit_code = 78

    def show(self, file: object = None) -> None:  # noqa: ARG002  # click's signature.
        click.echo("The configuration cannot be used; .env.example explains each variable.", err=True)
        for problem in self.message.splitlines():
            click.echo(f"  {problem}", err=True)


class RefusedExit(click.ClickException):
    """Exit 3: the command refuses, because what it would do could be wrong for good."""

    exit_code = 3

    def show(self, file: object = None) -> None:  # noqa: ARG002  # click's signature.
        click.echo(f"Refused, and nothing was changed: {self.message}.", err=True)


def load_settings(settings: type[SettingsType]) -> SettingsType:
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


@contextmanager
def progress(total: int) -> Iterator[Callable[[], object]]:
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
