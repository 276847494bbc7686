"""How the commands for operators ask the database, and how they print JSON."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click
import orjson

from app.commands.runtime import load_settings, run_until_sigterm
from app.errors import DatabaseDown, DatabaseUnavailable
from app.ops.reads import OpsReads
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.postgres.refusals import why_refused
from app.reasons import REASONS, meaning_of
from app.settings import DatabaseSettings

Answer = TypeVar("Answer")


def read(ask: Callable[[OpsReads], Awaitable[Answer]]) -> Answer:
    """The answer of the database; ClickException says why there is none, and what to do."""
    url = load_settings(DatabaseSettings).database_url.get_secret_value()
    return run_until_sigterm(_read(url, ask), if_stopped="nothing was changed")


async def _read(url: str, ask: Callable[[OpsReads], Awaitable[Answer]]) -> Answer:
    pool = Pool(url, name="ops", size=1)
    await pool.open()
    try:
        return await ask(OpsReads(Queries.load(), pool))
    except DatabaseUnavailable as error:
        why = await why_refused(url) if isinstance(error, DatabaseDown) else meaning_of(error)
        raise click.ClickException(f"The database cannot be used: {why}. {REASONS[error.reason].remedy}") from None
    finally:
        await pool.close()


def print_json(value: object) -> None:
    """Print dataclasses with their names, times in RFC 3339."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
    click.echo(orjson.dumps(value, default=_named, option=options), nl=False)


def _named(value: Any) -> Any:
    """A named tuple, such as a user's row."""
    return value._asdict()
