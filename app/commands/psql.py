"""`psql`: replaces this process with Postgres' own shell on the configured database."""

import os
import shutil
from typing import Any, NoReturn

import click
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo

from app.commands.runtime import load_settings
from app.settings import PsqlSettings
from app.settings.database_address import resolve


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(*, arguments: tuple[str, ...]) -> NoReturn:
    """Open psql on the configured database; ARGUMENTS are psql's own."""
    settings = load_settings(PsqlSettings)
    program = shutil.which("psql", path=settings.postgres_bin)
    if program is None:
        raise click.ClickException(
            "There is no psql here: install it (Debian: apt install postgresql-client), or set POSTGRES_BIN to the"
            " folder that holds it."
        )
    variables, options = _split_address(settings.database_url.get_secret_value())
    os.execve(  # noqa: S606  # No shell is wanted; psql is the one.
        program,
        ("psql", *options, *arguments),
        {name: value for name, value in os.environ.items() if name != "PGSERVICE"} | variables,
    )


def _split_address(url: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """The address as libpq's environment variables, and as psql options for what has no variable (keepalives).

    Every user of the machine can read a process's arguments, so they carry no secret. What a service says is among the
    variables: PGSERVICE itself would take precedence over the address.
    """
    known = {option.keyword.decode(): option for option in Conninfo.get_defaults()}
    address = resolve(url)
    variables: dict[str, str] = {}
    rest: dict[str, Any] = {}
    for name in address.keys() - {"service"} if "service" in address else conninfo_to_dict(url):
        option, value = known[name], address[name]
        if variable := option.envvar:
            variables[variable.decode()] = value
        elif option.dispchar != b"*":  # libpq's mark of a secret, which psql then asks for.
            rest[name] = value
    return variables, (("--dbname", make_conninfo(**rest)) if rest else ())
