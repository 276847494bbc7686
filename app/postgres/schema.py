"""Our tables: how they are told from another program's of the same name, and what the service does with them."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.postgres.pipeline import Rows, Statement
from app.postgres.queries import Queries

# The names of the migrations that were applied. A name that no other tool has: `schema_migrations` is Rails', Ecto's,
# golang-migrate's and dbmate's, and several of them may live in one database.
MIGRATIONS_TABLE = "clerk_backboard_migrations"


@dataclass(frozen=True, slots=True)
class OwnTable:
    """`columns` has it since it was made; a table of the name without them is another program's."""

    columns: frozenset[str]
    # What the service's statements need; `migrate` needs more, and may run as another user.
    rights: tuple[str, ...]


def _table(columns: str, rights: str) -> OwnTable:
    return OwnTable(frozenset(columns.split()), tuple(rights.split()))


TABLES: Mapping[str, OwnTable] = {
    "users": _table("clerk_id assistant_id clerk_updated_at", "SELECT INSERT UPDATE DELETE"),
    "deleted_users": _table("clerk_id deleted_at", "SELECT INSERT"),
    "provisioning_attempts": _table("clerk_id tries resolved_at", "SELECT INSERT UPDATE DELETE"),
    "scenarios": _table("slug system_prompt is_active", "SELECT INSERT UPDATE DELETE"),
    "sessions": _table("title user_id thread_id", "SELECT INSERT UPDATE DELETE"),
    "messages": _table("role content session_id", "SELECT INSERT UPDATE DELETE"),
    "session_attempts": _table("session_id clerk_id noted_at", "SELECT INSERT DELETE"),
    "deleted_threads": _table("session_id user_id thread_id", "SELECT INSERT DELETE"),
    "preferences": _table("user_id document", "SELECT INSERT UPDATE DELETE"),
    "deliveries": _table("svix_id tries resolved_at", "SELECT INSERT UPDATE DELETE"),
    "outcome_counts": _table("slot outcome number", "SELECT INSERT UPDATE DELETE"),
    "processes": _table("release seen_at writes", "SELECT INSERT UPDATE DELETE"),
    "actions": _table("who action result", "SELECT INSERT UPDATE DELETE"),
    MIGRATIONS_TABLE: _table("version applied_at", "SELECT"),
}


@dataclass(frozen=True, slots=True)
class FoundTable:
    """A table that one of our names leads to."""

    name: str
    schema: str
    # Whether it stands where a new table would be made.
    is_here: bool
    columns: list[str]
    # What we need and may not do with it.
    missing_rights: list[str]
    # Whether row-level security hides rows from us.
    hides_rows: bool

    @property
    def is_ours(self) -> bool:
        return TABLES[self.name].columns <= set(self.columns)

    @property
    def lacks_rights(self) -> bool:
        return self.is_ours and bool(self.missing_rights or self.hides_rows)


def find_tables(queries: Queries) -> Statement:
    """The statement for `read_tables`."""
    rights = [" ".join(table.rights) for table in TABLES.values()]
    return queries.find_tables, {"names": list(TABLES), "rights": rights}


def read_tables(rows: Rows) -> list[FoundTable]:
    return [FoundTable(*row) for row in rows]


def quote(name: str) -> str:
    """A name as a statement needs it."""
    return '"' + name.replace('"', '""') + '"'
