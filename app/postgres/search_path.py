"""Where the search path leads, and the statement that leads it to a schema in which tables can be made."""

from app.postgres.schema import quote


def is_unusable(schema: str | None) -> bool:
    """Whether no table of ours can stand in the schema that new tables are made in: none, or one of Postgres' own."""
    return schema is None or schema.startswith("pg_") or schema == "information_schema"


def mend_search_path(source: str, *, role: str, database: str) -> str:
    """What to do about a search path that leads to none, by where it was set (`source` of pg_settings)."""
    if source in {"client", "session"}:
        return "Take search_path out of the address (options) and of PGOPTIONS, or let it name a schema that exists."
    user, place = f"ROLE {quote(role)}", f"DATABASE {quote(database)}"
    owners = {"user": user, "database user": f"{user} IN {place}", "database": place}
    if source in owners:
        return f"ALTER {owners[source]} RESET search_path; or let it name a schema that exists, or CREATE SCHEMA."
    return f"CREATE SCHEMA public; or GRANT USAGE, CREATE ON SCHEMA public TO {quote(role)};"
