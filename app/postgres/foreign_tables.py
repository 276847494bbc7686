"""Another program's tables: which columns they have, and how their values are read.

Their names are not known before they are seen, so these few statements are put together here, and every name is quoted.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from app.errors import DatabaseUnavailable
from app.postgres.pipeline import Rows, Statement, execute
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.postgres.schema import quote
from app.postgres.streaming import SECONDS

# Postgres also answers with it where row_security is off and a policy would leave rows out.
_INSUFFICIENT_PRIVILEGE = "42501"
# Stands for the type of a column.
UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class ForeignTable:
    """A table or a view, with the types of its columns; UNREADABLE for one that this user may not read."""

    schema: str
    name: str
    types: Mapping[str, str]

    @property
    def quoted(self) -> str:
        return _quoted(self.schema) + "." + _quoted(self.name)

    def readable(self) -> list[str]:
        """The columns that may be read."""
        return [self.native(name) for name, kind in self.types.items() if kind != UNREADABLE]

    def text(self, column: str) -> str:
        """A column as text, whatever its type: an id, an enum, JSON."""
        return f"t.{_quoted(column)}::TEXT"

    def time(self, column: str) -> str:
        """A column as a time. Prisma's DateTime is a timestamp without a zone, in UTC; NULL outside Python's years."""
        name = f"t.{_quoted(column)}"
        zoned = f"({name} AT TIME ZONE 'UTC')" if self.types[column] == "timestamp without time zone" else name
        return f"CASE WHEN {zoned}::TIMESTAMPTZ BETWEEN '0002-01-01' AND '9998-01-01' THEN {zoned}::TIMESTAMPTZ END"

    def native(self, column: str) -> str:
        """A column as it is, to sort by."""
        return f"t.{_quoted(column)}"


def _quoted(name: str) -> str:
    """A name as a statement needs it, where a percent sign begins a parameter."""
    return quote(name).replace("%", "%%")


def literal(text: str) -> str:
    """A text as a statement needs it, where a percent sign begins a parameter; without escapes by a backslash."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''").replace("%", "%%") + "'"


async def list_tables(pool: Pool, queries: Queries, schema: str) -> dict[str, ForeignTable]:
    """Every table and view of a schema, by name."""
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in await read_all(pool, (queries.list_columns, {"schema": schema})):
        found.setdefault(table, {})[column] = kind or UNREADABLE
    return {name: ForeignTable(schema, name, types) for name, types in found.items()}


async def read_all(pool: Pool, statement: Statement) -> Rows:
    """Every row of a statement, at once."""
    async with pool.connection() as connection:
        (rows,) = await execute(connection, statement, seconds=SECONDS)
    return rows


async def hides_rows(pool: Pool, table: ForeignTable, column: str) -> bool:
    """Whether row-level security may leave out rows for this user, or a view reads what this user may not."""
    begin: Statement = (b"BEGIN READ ONLY", {})
    select = f"SELECT {table.native(column)} FROM {table.quoted} AS t LIMIT 0".encode()  # noqa: S608  # Both are quoted.
    try:
        async with pool.connection() as connection:
            await execute(connection, begin, (b"SET LOCAL row_security = off", {}), (select, {}), seconds=SECONDS)
    except DatabaseUnavailable as error:
        if error.sqlstate != _INSUFFICIENT_PRIVILEGE:
            raise
        return True
    return False
