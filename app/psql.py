"""`psql`: Postgres' own shell on the configured database, in place of this process."""

import os
import shutil
from collections.abc import Sequence
from typing import Any, NoReturn

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo

from app.settings import PsqlSettings


class NoPsql(Exception):
    """There is no psql here; the text says where to get one."""


def run(settings: PsqlSettings, arguments: Sequence[str]) -> NoReturn:
    """Become psql. The address goes through the environment, since everybody on this machine may read arguments."""
    program = shutil.which("psql", path=settings.postgres_bin)
    if program is None:
        raise NoPsql(
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
