"""Another program's tables as users, sessions and messages, by the mapping that was found."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from app.commands.importing.mapping import Choices, TableMapping, UnclearMapping, map_tables, map_values, plain
from app.commands.importing.models import ForeignMessage, ForeignSession, ForeignUser
from app.postgres.foreign_tables import ForeignTable, hides_rows, list_tables, literal, read_all
from app.postgres.pipeline import Rows, Statement
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.postgres.schema import MIGRATIONS_TABLE, TABLES
from app.postgres.streaming import PAGE_SIZE, read_pages

# The bound of our columns of JSON.
DOCUMENT_BYTES = 16384
# Beside any columns of theirs.
_DOCUMENT = '"our document"'


@dataclass(frozen=True, slots=True)
class Table:
    """A table and what its columns mean."""

    table: ForeignTable
    mapping: TableMapping

    def text(self, column: str) -> str:
        return self.table.text(self.mapping.columns[column]) if self.mapping.has(column) else "NULL::TEXT"

    def time(self, column: str) -> str:
        if not self.mapping.has(column):
            return "NULL::TIMESTAMPTZ"
        return self.table.time(self.mapping.columns[column])

    def native(self, column: str) -> str:
        return self.table.native(self.mapping.columns[column])

    def document(self, column: str) -> str:
        return f"{self.native(column)}::JSONB" if self.mapping.has(column) else "NULL::JSONB"

    def rows(self, *more: str) -> str:
        """Its rows with the columns that may be read, and more; `t.*` would need the right to read them all."""
        return f"SELECT {', '.join([*self.table.readable(), *more])} FROM {self.table.quoted} AS t"


@dataclass(frozen=True, slots=True)
class PrismaSource:
    """Reads what `open_source` has mapped; every pass is in the same order."""

    pool: Pool
    users_table: Table
    sessions_table: Table | None
    messages_table: Table | None
    preferences_table: Table | None
    roles: Mapping[str | None, str] = field(default_factory=dict)
    statuses: Mapping[str | None, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The mapping, for the operator."""
        tables = (self.users_table, self.preferences_table, self.sessions_table, self.messages_table)
        lines = [line for table in tables if table is not None for line in table.mapping.lines()]
        for table, column, values in (
            (self.sessions_table, "status", self.statuses), (self.messages_table, "role", self.roles)
        ):  # fmt: skip
            lines += [f"{table.mapping.name}.{column} {theirs} -> {ours}" for theirs, ours in values.items() if table]
        return lines

    async def count(self) -> dict[str, int]:
        """How many rows each table has."""
        tables = {"user": self.users_table, "session": self.sessions_table, "message": self.messages_table}
        counts = dict.fromkeys(tables, 0)
        for kind, table in tables.items():
            if table is not None:
                counts[kind] = (await self._read(f"SELECT count(*) FROM {table.table.quoted}"))[0][0]
        return counts

    async def ambiguous(self) -> set[str]:
        """The assistants and Clerk ids that more than one user has."""
        found: set[str] = set()
        for column in ("assistant_id", "clerk_id"):
            value = (
                f"lower({self.users_table.text(column)})" if column == "assistant_id" else self.users_table.text(column)
            )
            select = f"SELECT {value} FROM {self.users_table.table.quoted} AS t GROUP BY 1 HAVING count(*) > 1"
            found |= {row[0] for row in await self._read(select) if row[0] is not None}
        return found

    async def shared_threads(self) -> dict[str, str]:
        """For each thread that several sessions name, the first of them, which keeps it."""
        table = self.sessions_table
        if table is None or not table.mapping.has("thread_id"):
            return {}
        thread, quoted = f"lower({table.text('thread_id')})", table.table.quoted
        return dict(
            row
            for row in await self._read(
                f"SELECT DISTINCT ON (1) {thread}, {table.text('id')} FROM {quoted} AS t WHERE {thread} IN"
                f" (SELECT {thread} FROM {quoted} AS t GROUP BY 1 HAVING count(*) > 1)"
                f" ORDER BY 1, {table.time('created_at')}, {table.native('id')}"
            )
        )

    async def users(self) -> AsyncIterator[list[ForeignUser]]:
        """Every user, in pages, each read by itself: what Backboard answers in between takes its time."""
        statement: Statement = (self._select_users("").encode(), {})
        select = self._select_users(f"WHERE {self.users_table.native('id')} > %(after)s").encode()
        while rows := await read_all(self.pool, statement):
            yield [ForeignUser(*row) for row in rows]
            statement = select, {"after": rows[-1][0]}

    def _select_users(self, condition: str) -> str:
        table = self.users_table
        name = table.text("name")
        if not table.mapping.has("name"):
            name = f"concat_ws(' ', {table.text('first_name')}, {table.text('last_name')})"
        columns = [
            *(table.text(column) for column in ("id", "clerk_id", "assistant_id", "email")),
            name,
            table.text("image_url"),
            *(table.time(column) for column in ("created_at", "last_sign_in_at")),
            f"{table.text('deleted_at')} IS NOT NULL",
        ]
        order, document = table.native("id"), f"{self._preferences()} AS {_DOCUMENT}"
        page = f"{table.rows(document)} {condition} ORDER BY {order} LIMIT {PAGE_SIZE}"
        columns.append(_fitting("t." + _DOCUMENT))
        return f"SELECT {', '.join(columns)} FROM ({page}) AS t ORDER BY {order}"

    def _preferences(self) -> str:
        """The preferences of a user t, of the user's own row or of a table of preferences."""
        table = self.preferences_table
        if table is None:
            return self.users_table.document("preferences")
        column = table.mapping.columns["user"]
        theirs = self.users_table.native("clerk_id" if plain(column).startswith("clerk") else "id")
        document = "to_jsonb(t.*)" + "".join(
            f" - {literal(name)}::TEXT"
            for name in table.table.types
            if name == column or plain(name) in ("id", "createdat", "updatedat")
        )
        if table.mapping.has("document"):
            document = table.document("document")
        chosen = f"SELECT {document} AS document, {table.native('user')} AS user_key FROM ({table.rows()}) AS t"
        return f"(SELECT p.document FROM ({chosen}) AS p WHERE p.user_key = {theirs} LIMIT 1)"

    async def sessions(self) -> AsyncIterator[list[ForeignSession]]:
        """Every session in pages, a user's sessions behind each other."""
        table = self.sessions_table
        if table is None:
            return
        latest, join = "NULL::TIMESTAMPTZ", ""
        if messages := self.messages_table:
            latest = "latest.at"
            times = f"SELECT {messages.native('session')} AS session_key, max({messages.time('created_at')}) AS at"
            join = f" LEFT JOIN ({times} FROM {messages.table.quoted} AS t GROUP BY 1) AS latest"
            join += f" ON latest.session_key = {table.native('id')}"
        created = f"coalesce({table.time('created_at')}, 'epoch')"
        columns = [
            *(table.text(column) for column in ("id", "user", "thread_id", "title", "status")),
            created,
            f"greatest({created}, {table.time('last_active_at')}, {latest})",
            table.time("ended_at"),
        ]
        select = f"SELECT {', '.join(columns)} FROM {table.table.quoted} AS t{join}"
        select += f" ORDER BY {table.native('user')}, {table.native('id')}"
        async for rows in read_pages(self.pool, (select.encode(), {})):
            yield [ForeignSession(*row) for row in rows]

    async def messages(self) -> AsyncIterator[list[ForeignMessage]]:
        """Every message in pages, a session's messages behind each other, as they were said."""
        table, sessions = self.messages_table, self.sessions_table
        if table is None or sessions is None:
            return
        keys = f"SELECT {sessions.native('id')} AS session_key FROM {sessions.table.quoted} AS t GROUP BY 1"
        columns = [
            *(table.text(column) for column in ("id", "session", "role", "content")),
            _fitting("t." + _DOCUMENT),
            table.time("created_at"),
            "known.session_key IS NOT NULL",
        ]
        known = f" LEFT JOIN ({keys}) AS known ON known.session_key = {table.native('session')}"
        order = [table.native(one) for one in ("session", "order") if table.mapping.has(one)]
        order += [table.time("created_at"), table.native("id")]
        rows_with_document = table.rows(f"{self._metadata(table)} AS {_DOCUMENT}")
        select = f"SELECT {', '.join(columns)} FROM ({rows_with_document}) AS t{known} ORDER BY {', '.join(order)}"
        async for rows in read_pages(self.pool, (select.encode(), {})):
            yield [ForeignMessage(*row) for row in rows]

    def _metadata(self, table: Table) -> str:
        metadata = f"nullif({table.document('metadata')}, 'null')"
        if not table.mapping.members:
            return metadata
        members = ", ".join(
            f"{literal(ours)}::TEXT, {table.table.native(name)}" for ours, name in table.mapping.members.items()
        )
        object_ = f"coalesce({metadata}, '{{}}')"
        added = f"nullif({object_} || jsonb_strip_nulls(jsonb_build_object({members})), '{{}}')"
        return f"CASE WHEN jsonb_typeof({object_}) = 'object' THEN {added} ELSE {metadata} END"

    async def _read(self, select: str) -> Rows:
        return await read_all(self.pool, (select.encode(), {}))


def _fitting(document: str) -> str:
    """A document as text, NULL if we do not store it; and whether there is one that we do not store."""
    fits = f"jsonb_typeof({document}) = 'object' AND octet_length({document}::TEXT) <= {DOCUMENT_BYTES}"
    return f"CASE WHEN {fits} THEN {document}::TEXT END, coalesce({document}, 'null') <> 'null' AND NOT ({fits})"


async def _hidden(pool: Pool, tables: list[Table]) -> list[str]:
    """The tables of which this role may not see every row."""
    return [
        f"{table.mapping.name} may hide rows from this role (row-level security), or what a view needs: read it as its"
        " owner, or as a role with BYPASSRLS"
        for table in tables
        if await hides_rows(pool, table.table, table.mapping.columns["id" if table.mapping.has("id") else "user"])
    ]


async def open_source(pool: Pool, queries: Queries, schema: str, choices: Choices) -> PrismaSource:
    """Find out which tables and columns hold what; UnclearMapping names what cannot be mapped."""
    found = await list_tables(pool, queries, schema)
    if MIGRATIONS_TABLE in found:
        found = {name: table for name, table in found.items() if name not in TABLES}
    mapped = map_tables({name: table.types for name, table in found.items()}, choices)
    tables = {kind: Table(found[mapping.name], mapping) for kind, mapping in mapped.items()}
    values: dict[str, Mapping[str | None, str]] = {}
    problems = await _hidden(pool, list(tables.values()))
    for kind, column in (("message", "role"), ("session", "status")):
        if kind in tables and tables[kind].mapping.has(column):
            table = tables[kind]
            select = f"SELECT DISTINCT {table.text(column)} FROM {table.table.quoted} AS t ORDER BY 1"
            distinct = [one for (one,) in await read_all(pool, (select.encode(), {}))]
            try:
                present = [one for one in distinct if one is not None or kind == "message"]
                values[column] = map_values(table.mapping, column, present, choices)
            except UnclearMapping as error:
                problems.append(str(error))
    if problems or choices.unused():
        raise UnclearMapping(problems + choices.unused())
    return PrismaSource(
        pool,
        tables["user"],
        tables.get("session"),
        tables.get("message"),
        tables.get("preferences"),
        roles=values.get("role", {}),
        statuses=values.get("status", {}),
    )
