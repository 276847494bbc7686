"""`psql`: Postgres' own shell on the configured database, in place of this process."""

import os
import shutil
from collections.abc import Sequence
from typing import Any, NoReturn

import click
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo

from app.commands.runtime import load_settings
from app.settings import PsqlSettings


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(*, arguments: tuple[str, ...]) -> None:
    """Open psql on the configured database; ARGUMENTS are psql's own."""
    become_psql(load_settings(PsqlSettings), arguments)


def become_psql(settings: PsqlSettings, arguments: Sequence[str]) -> NoReturn:
    """Become psql. The address goes through the environment, since everybody on this machine may read arguments."""
    program = shutil.which("psql", path=settings.postgres_bin)
    if program is None:
        raise click.ClickException(
            "There is no psql here: install it (Debian: apt install postgresql-client), or set POSTGRES_BIN to the"
            " folder that holds it."
        )
    words, variables = _address(settings.database_url.get_secret_value())
    os.execve(  # noqa: S606  # No shell is wanted; psql is the one.
        program,
        ("psql", *words, *arguments),
        {name: value for name, value in os.environ.items() if name != "PGSERVICE"} | variables,
    )


def _address(url: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """What psql is told of the address: in libpq's variables, or as an argument for what has none (keepalives).

    A service of the caller's own would win over those variables, so it is not handed on.
    """
    options = {option.keyword.decode(): option for option in Conninfo.get_defaults()}
    variables: dict[str, str] = {}
    rest: dict[str, Any] = {}
    for name, value in conninfo_to_dict(url).items():
        if variable := options[name].envvar:
            variables[variable.decode()] = str(value)
        elif options[name].dispchar != b"*":  # How libpq marks a secret; psql asks for it.
            rest[name] = value
    return (("--dbname", make_conninfo(**rest)) if rest else ()), variables
