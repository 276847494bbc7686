"""`import`: takes over users, assistants, sessions and messages of another program.

From Prisma's tables, in this database or in another, or users and their assistants from a CSV file. What is there stays
as it is; what is here and newer stays too, so it may be stopped and run again at any time.
"""

import re
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import click
from pydantic import SecretStr

from app import log
from app.commands.importing.csv_file import in_pages, read_csv
from app.commands.importing.mapping import Choices, UnclearMapping
from app.commands.importing.models import ForeignUser, Summary
from app.commands.importing.prisma import open_source
from app.commands.importing.run import Import, report
from app.commands.runtime import Echo, RefusedExit, load_settings, run_until_sigterm
from app.components import Components, build_components, open_components
from app.deadline import Deadline
from app.errors import SchemaMissing, Unavailable
from app.postgres.migration_files import newest
from app.postgres.pool import Pool
from app.reasons import meaning_of
from app.settings import Settings, usable_database_url

# Prisma's name of a schema in an address, which libpq does not know.
_SCHEMA = re.compile(r"(?<=[?&])schema=([^&]*)&?")


@click.command("import")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--from", "kind", type=click.Choice(["prisma", "csv"]), required=True, help="What is read.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and write nothing, here or at Backboard.")
@click.option(
    "--source-url", help="The Postgres of the tables, where it is not ours; the password may stand in PGPASSWORD."
)
@click.option("--schema", help="The schema of the tables; public unless --source-url names one.")
@click.option("--map", "choices", multiple=True, metavar="TABLE.COLUMN=OURS", help="Decide what cannot be guessed.")
@click.option("--create-missing", is_flag=True, help="Make an assistant for users who have none.")
def import_(
    *,
    file: Path | None,
    kind: str,
    dry_run: bool,
    source_url: str | None,
    schema: str | None,
    choices: tuple[str, ...],
    create_missing: bool,
) -> None:
    """Take over the users of another program with their assistants, sessions, messages and preferences.

    It may be stopped and run again at any time. Exit codes: 0 everything is here, 1 something is not, 2 something could
    not be mapped, and nothing was written.
    """
    if (kind == "csv") != (file is not None) or (kind == "csv" and (source_url or schema or choices)):
        raise click.UsageError(
            "--from csv takes FILE and neither --source-url, --schema nor --map; --from prisma no FILE."
        )
    settings = load_settings(Settings)
    log.configure(settings.log_format, "warning", stream=sys.stderr)
    try:
        if file is not None:
            work = _import_users(settings, read_csv(file), dry_run=dry_run, create_missing=create_missing)
        else:
            place = _place(settings, source_url, schema)
            work = import_tables(settings, place, Choices(choices), dry_run=dry_run, create_missing=create_missing)
        summary = run_until_sigterm(work, if_stopped="run it again and it goes on")
    except UnclearMapping as error:
        raise click.UsageError(f"Nothing was written; this has to be decided first:\n{error}") from None
    except Unavailable as error:
        raise click.ClickException(f"Nothing was begun: {meaning_of(error)}.") from None
    report(summary, click.echo, dry_run=dry_run)
    if not summary.is_complete:
        sys.exit(1)


class Place(NamedTuple):
    """Where the tables are."""

    url: str
    schema: str


def _place(settings: Settings, source_url: str | None, schema: str | None) -> Place:
    """Our own database, or the one of the address, which may name the schema; UsageError where it cannot be used."""
    if source_url is None:
        return Place(settings.database_url.get_secret_value(), schema or "public")
    named = _SCHEMA.search(source_url)
    try:
        url = usable_database_url(SecretStr(_SCHEMA.sub("", source_url).rstrip("?&")))
    except ValueError as error:
        raise click.UsageError(f"--source-url {error}.") from None
    return Place(url.get_secret_value(), schema or (unquote(named[1]) if named else "public"))


async def _import_users(
    settings: Settings, users: list[ForeignUser], *, dry_run: bool, create_missing: bool
) -> Summary:
    """The users of a file."""
    components = build_components(settings)
    async with open_components(components):
        await _check_schema(components)
        return await Import(components, None, in_pages(users), {"user": len(users)}, create_missing, dry_run).run()


async def import_tables(
    settings: Settings,
    place: Place,
    choices: Choices,
    *,
    dry_run: bool = False,
    create_missing: bool = False,
    echo: Echo = click.echo,
) -> Summary:
    """The users of Prisma's tables with all that they have; the mapping is shown before anything is written."""
    components = build_components(settings)
    pool = Pool(place.url, name="source", size=1)
    async with open_components(components):
        await _check_schema(components)
        await pool.open()
        try:
            source = await open_source(pool, components.queries, place.schema, choices)
            totals = await source.count()
            for line in [*source.lines(), *(f"{number} rows of {kind}" for kind, number in totals.items())]:
                echo(line)
            return await Import(components, source, source.users(), totals, create_missing, dry_run).run()
        finally:
            await pool.close()


async def _check_schema(components: Components) -> None:
    """Refuse to write into another schema than the one of this code."""
    version: str | None = None
    try:
        rows = await components.query_pool.execute((components.queries.get_schema_version, {}), deadline=Deadline())
        (((version,),),) = rows
    except SchemaMissing:
        pass
    if version != newest():
        raise RefusedExit(f"the schema is {version or 'missing'} and not {newest()}: run `migrate` first")
