"""`psql`: Postgres' own shell on the configured database, in place of this process."""

import os
import shutil
from collections.abc import Sequence
from typing import Any, NoReturn

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app.settings import PsqlSettings


class NoPsql(Exception):
    """There is no psql here; the text says where to get one."""


def run(settings: PsqlSettings, arguments: Sequence[str]) -> NoReturn:
    """Become psql. The password goes through the environment, since everybody on this machine may read arguments."""
    program = shutil.which("psql", path=settings.postgres_bin)
    if program is None:
        raise NoPsql(
            "There is no psql here: install it (Debian: apt install postgresql-client), or set POSTGRES_BIN to the"
            " folder that holds it."
        )
    parts: dict[str, Any] = conninfo_to_dict(settings.database_url.get_secret_value())
    password = parts.pop("password", None)
    secret = {} if password is None else {"PGPASSWORD": str(password)}
    words = ("psql", *arguments, "--dbname", make_conninfo(**parts))
    os.execve(program, words, {**os.environ, **secret})  # noqa: S606  # No shell is wanted; psql is the one.
