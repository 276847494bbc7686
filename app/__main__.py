"""The commands: `python -m app COMMAND`.

The module of a command is imported when the command is chosen: `serve` needs svix, which takes longer to import than
all other modules together, and `migrate` does not.
"""

import sys
from importlib import import_module

import click

# Each module has a function named like its command; the function's docstring is the help text.
COMMANDS = {
    "serve": "app.commands.serve",
    "migrate": "app.commands.database",
    "doctor": "app.commands.doctor.command",
    "backfill": "app.commands.backfill",
    "reconcile": "app.commands.reconcile.command",
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
        command: click.Command = getattr(import_module(COMMANDS[cmd_name]), cmd_name)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Give each Clerk user exactly one Backboard assistant and one row in Postgres."""


if __name__ == "__main__":
    sys.exit(main())
