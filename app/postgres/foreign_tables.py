"""Another program's tables: which columns they have, and how their values are read.

Their names are not known before they are seen, so these few statements are put together here, and every name is quoted.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from app.postgres.pipeline import Rows, Statement, execute
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.postgres.schema import quote
from app.postgres.streaming import SECONDS


@dataclass(frozen=True, slots=True)
class ForeignTable:
    """A table or a view, with the types of its columns."""

    schema: str
    name: str
    types: Mapping[str, str]

    @property
    def quoted(self) -> str:
        return _quoted(self.schema) + "." + _quoted(self.name)

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
    """Every table and view of a schema that may be read, by name."""
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in await read_all(pool, (queries.list_columns, {"schema": schema})):
        found.setdefault(table, {})[column] = kind
    return {name: ForeignTable(schema, name, types) for name, types in found.items()}


async def read_all(pool: Pool, statement: Statement) -> Rows:
    """Every row of a statement, at once."""
    async with pool.connection() as connection:
        (rows,) = await execute(connection, statement, seconds=SECONDS)
    return rows
