"""The commands: `python -m app COMMAND`.

The module of a command is imported when the command is chosen: `serve` needs svix, which takes longer to import than
all other modules together, and `migrate` does not.
"""

import errno
import os
import sys
from contextlib import suppress
from importlib import import_module
from keyword import iskeyword
from typing import Literal, TextIO

import click

STDERR = 2

# Each module has a function named like its command, with _ behind a word of Python's; its docstring is the help text.
COMMANDS = {
    "serve": "app.commands.serve",
    "migrate": "app.commands.database",
    "doctor": "app.commands.doctor.command",
    "status": "app.commands.ops.status",
    "user": "app.commands.ops.user",
    "events": "app.commands.ops.events",
    "import": "app.commands.importing.command",
    "backfill": "app.commands.backfill",
    "reconcile": "app.commands.reconcile.command",
    "export": "app.commands.export",
    "erase": "app.commands.erase",
    "trigger": "app.commands.trigger",
    "seed": "app.commands.seed",
    "reset": "app.commands.database",
    "psql": "app.commands.psql",
}


class LazyGroup(click.Group):
    """A click group that imports the module of a command at its first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature.
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature.
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name]), cmd_name + "_" * iskeyword(cmd_name))
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Give each Clerk user exactly one Backboard assistant and one row in Postgres."""


def open_standard_streams() -> None:
    """Open on nothing those that the caller has closed (`>&-`): a socket in their place would get what is printed."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(descriptor, True)  # noqa: FBT003  # The standard library's.
    os.close(descriptor)
    sys.stdin = sys.stdin or _stream(0, "r")
    sys.stdout = sys.stdout or _stream(1, "w")
    sys.stderr = sys.stderr or _stream(2, "w")


def _stream(descriptor: int, mode: Literal["r", "w"]) -> TextIO:
    return os.fdopen(descriptor, mode, closefd=False)


def run() -> None:
    """Run the command that the arguments name, with closed standard streams too."""
    open_standard_streams()
    try:
        main()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        with suppress(OSError):  # stderr may be as full.
            click.echo(f"Error: the output could not be written: {error.strerror}.", err=True)
        # The end of the process would try once more to write what is left of both.
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        sys.exit(1)


if __name__ == "__main__":
    run()
