"""How far a command is, on stderr: a bar on a terminal, lines elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

import click

PROGRESS_SECONDS = 3.0

Advance = Callable[[], object]


@contextmanager
def progress(total: int, what: str) -> Iterator[Advance]:
    """A progress bar on a terminal; elsewhere a line every few seconds, and one at the end."""
    if sys.stderr.isatty():
        with click.progressbar(length=total, label=what.capitalize(), file=sys.stderr) as bar:
            yield lambda: bar.update(1)
        return
    done, printed_at = 0, monotonic()

    def advance() -> None:
        nonlocal done, printed_at
        done += 1
        if monotonic() - printed_at > PROGRESS_SECONDS:
            printed_at = monotonic()
            click.echo(f"{done} of {total} {what}", err=True)

    yield advance
    click.echo(f"{done} of {total} {what}", err=True)
