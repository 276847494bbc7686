"""The part of `doctor` about what a session finds: the database's encoding and defaults, and what our user may do."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.commands.doctor.asking import Ask
from app.commands.doctor.report import Report
from app.postgres.migration_files import read_migrations
from app.postgres.queries import Queries
from app.postgres.schema import MIGRATIONS_TABLE, FoundTable, find_tables, quote, read_tables
from app.postgres.search_path import is_unusable, mend_search_path
from app.postgres.transaction import IDLE_MS


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """The row of get_database_facts."""

    database: str
    role: str
    schema: str | None
    search_path: str
    encoding: str


@dataclass(frozen=True, slots=True)
class Default:
    """A setting that the service cannot make for itself, and that would harm it; `good` mends it."""

    good: str
    harm: str

    def is_harmful(self, value: str) -> bool:
        if self.good == "0":  # A time in milliseconds, where 0 means no limit.
            return 0 < int(value) < IDLE_MS
        # The other values of synchronous_commit promise as much as `on`, or more.
        return value != self.good if self.good != "on" else value == "off"


DEFAULTS: Mapping[str, Default] = {
    "array_nulls": Default("on", "NULL in a list is read as a word"),
    "client_encoding": Default("UTF8", "text arrives in another encoding than the service reads"),
    "default_transaction_read_only": Default("off", "nothing can be written; its host may have set it for a full disk"),
    "session_replication_role": Default("origin", "rows are stored without a look at their constraints"),
    "synchronous_commit": Default("on", "a crash of Postgres loses what it said was committed"),
    "transaction_timeout": Default("0", "a sign-up is cut off while Backboard answers"),
}


async def read_facts(ask: Ask) -> DatabaseFacts:
    queries = Queries.load()
    return DatabaseFacts(*(await ask((queries.get_database_facts, {})))[0])


async def check_session(report: Report, ask: Ask, facts: DatabaseFacts) -> None:
    """Look for an encoding and for defaults that harm."""
    if facts.encoding != "UTF8":
        name = quote(f"{facts.database}_utf8")
        todo = f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0; copy the rows and use it."
        report.wrong("session", f"the database's encoding, {facts.encoding}, cannot hold every name", todo)
    queries = Queries.load()
    rows = await ask((queries.list_defaults, {"names": list(DEFAULTS)}))
    harmful = [(name, value, source) for name, value, source in rows if DEFAULTS[name].is_harmful(value)]
    for name, value, source in harmful:
        todo = _mend_default(name, source, facts)
        report.wrong("session", f"{name} is {value}: {DEFAULTS[name].harm}", todo)
    if facts.encoding == "UTF8" and not harmful:
        report.ok("session", "UTF8, and no default of the database or the user that harms")


def _mend_default(name: str, source: str, facts: DatabaseFacts) -> str:
    """The statement that overrules a setting, where it was made."""
    if source in {"client", "session"}:
        return f"Take {name} out of the address (options) and of PGOPTIONS, or let the pooler take client_encoding."
    role, database = quote(facts.role), quote(facts.database)
    owner = {"user": f"ROLE {role}", "database user": f"ROLE {role} IN DATABASE {database}"}
    return f"ALTER {owner.get(source, f'DATABASE {database}')} SET {name} = {DEFAULTS[name].good};"


async def check_place(report: Report, ask: Ask, facts: DatabaseFacts) -> bool:
    """Check that the address leads to the schema in which `migrate` has been; whether there is anything to look at."""
    queries = Queries.load()
    tables = read_tables(await ask(find_tables(queries)))
    if elsewhere := next((table for table in tables if table.is_ours and not table.is_here), None):
        text = f"the tables stand in {elsewhere.schema}, and new ones would be made in {facts.schema}"
        report.wrong("schema", text, f"Let search_path name {elsewhere.schema} first.")
        return False
    if any(table.name == MIGRATIONS_TABLE for table in tables):
        return True
    for schema, may_look in await ask((queries.find_schemas, {})):
        text = f"the tables stand in {schema}, and the search path ({facts.search_path or 'empty'}) does not lead there"
        name, role = quote(schema), quote(facts.role)
        todo = f"GRANT USAGE ON SCHEMA {name} TO {role};"
        if may_look:
            owner = f"{role} IN DATABASE {quote(facts.database)}"
            todo = f"ALTER ROLE {owner} SET search_path = {name}; or options=-csearch_path%3D{schema} in the address."
        report.wrong("schema", text, todo)
        return False
    if is_unusable(facts.schema):
        ((_, _, source),) = await ask((queries.list_defaults, {"names": ["search_path"]}))
        text = f"the search path ({facts.search_path or 'empty'}) leads to no schema in which tables can be made"
        report.wrong("schema", text, mend_search_path(source, role=facts.role, database=facts.database))
        return False
    return True


async def check_rights(report: Report, ask: Ask, facts: DatabaseFacts) -> bool:
    """Check that our user may do what the statements do, before the first event finds out; whether it may."""
    queries = Queries.load()
    refused = [table for table in read_tables(await ask(find_tables(queries))) if table.lacks_rights]
    for table in refused:
        _report_table(report, table, facts)
    names = sorted(set().union(*(migration.functions for migration in read_migrations())))
    functions = await ask((queries.list_refused_functions, {"names": names}))
    for (function,) in functions:
        todo = f"GRANT EXECUTE ON FUNCTION {function} TO {quote(facts.role)};"
        report.wrong("rights", f"this user may not call {function.partition('(')[0]}", todo)
    if refused or functions:
        return False
    report.ok("rights", "this user may read and write every table")
    return True


def _report_table(report: Report, table: FoundTable, facts: DatabaseFacts) -> None:
    name, role = f"{quote(table.schema)}.{quote(table.name)}", quote(facts.role)
    if table.missing_rights:
        rights = ", ".join(table.missing_rights)
        report.wrong("rights", f"this user may not {rights} in {table.name}", f"GRANT {rights} ON {name} TO {role};")
    if table.hides_rows:
        todo = f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY; or ALTER ROLE {role} BYPASSRLS;"
        report.wrong("rights", f"row-level security hides rows of {table.name} from this user", todo)
