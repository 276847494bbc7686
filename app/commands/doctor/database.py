"""What doctor finds out about the database: itself, its connections, its schema, and what its rows tell."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from app.errors import DatabaseDown, DatabaseUnavailable, SchemaMissing
from app.postgres.migrations import newest
from app.postgres.pipeline import Statement, execute
from app.postgres.pool import Pool, connections_needed, why_refused
from app.postgres.queries import Queries
from app.reasons import meaning_of
from app.settings import ConfigurationError, DatabaseSettings, Settings, load

# gen_random_uuid() is built in from here on.
OLDEST_POSTGRES = 13
CONNECT_SECONDS = 4.0
QUERY_SECONDS = 10.0
# A sign-up under way is no doubt yet; the longest takes 12 s.
DOUBT_SECONDS = 60
# As long as reconcile leaves it alone, there is nothing to do about a settled note.
SETTLED_SECONDS = 3600
DAY_SECONDS = 86_400
# What only a database that can be read tells.
_OF_THE_ROWS = ("schema", "open doubts", "last change")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `todo` is what to do about it, where there is something."""

    state: Literal["ok", "wrong", "unknown"]
    what: str
    said: str
    todo: str = ""


Findings = AsyncIterator[Finding]


async def look_at_database(settings: Settings | None) -> Findings:
    """What the database says; its address may be right although another variable is wrong."""
    try:
        url = (settings or load(DatabaseSettings)).database_url.get_secret_value()
    except ConfigurationError:
        for what in ("database", "connections", *_OF_THE_ROWS):
            yield Finding("unknown", what, "not asked: first the configuration")
        return
    async with _pool(url) as pool:
        try:
            async for finding in _postgres(pool, settings):
                yield finding
        except DatabaseUnavailable as error:
            why = await why_refused(url) if isinstance(error, DatabaseDown) else meaning_of(error)
            yield Finding(
                "wrong", "database", f"it cannot be used: {why}", "Compare DATABASE_URL with what its host says."
            )
            for what in ("connections", *_OF_THE_ROWS):
                yield Finding("unknown", what, "not asked: first the database")
            return
        queries = Queries.load()
        schema = await _schema(pool, queries)
        yield schema
        if schema.state == "ok":
            async for finding in _census(pool, queries):
                yield finding
        else:
            for what in _OF_THE_ROWS[1:]:
                yield Finding("unknown", what, "not asked: first the schema")


@asynccontextmanager
async def _pool(url: str) -> AsyncIterator[Pool]:
    pool = Pool(url, name="doctor", size=1)
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


async def _postgres(pool: Pool, settings: Settings | None) -> Findings:
    queries = Queries.load()
    version, read_only, connections = await _ask(pool, (queries.get_server_facts, {}))
    release = version // 10_000
    encrypted = "with TLS" if await pool.uses_tls() else "without TLS, on this machine"
    if release < OLDEST_POSTGRES:
        todo = f"Move to Postgres {OLDEST_POSTGRES} or newer."
        yield Finding("wrong", "database", f"Postgres {release} is too old", todo)
    elif read_only:
        todo = "Point DATABASE_URL at the primary, or find out why it takes no writes."
        yield Finding("wrong", "database", "it is read-only: a replica, or a database that is full", todo)
    else:
        yield Finding("ok", "database", f"Postgres {release}, reached {encrypted}")
    if settings is not None:
        yield _connections(settings, connections)


def _connections(settings: Settings, allowed: int) -> Finding:
    """Whether the connections suffice for one machine, and for how many they would."""

    def needed(dynos: int) -> int:
        processes, places = settings.web_concurrency, settings.provisioning_concurrency
        return connections_needed(processes=processes, concurrency=places, dynos=dynos)

    if needed(1) > allowed:
        todo = "Lower WEB_CONCURRENCY or PROVISIONING_CONCURRENCY, or take a database with more connections."
        return Finding("wrong", "connections", f"{needed(1)} may be needed and {allowed} are allowed", todo)
    fit = (allowed - needed(0)) // (needed(1) - needed(0))
    return Finding(
        "ok", "connections", f"{needed(1)} may be needed of {allowed}; enough for {fit} machine(s) like this"
    )


async def _schema(pool: Pool, queries: Queries) -> Finding:
    try:
        (version,) = await _ask(pool, (queries.get_schema_version, {}))
    except SchemaMissing:
        version = None
    except DatabaseUnavailable as error:
        return Finding("wrong", "schema", f"it cannot be read: {meaning_of(error)}", "Look at the database's own log.")
    if version == newest():
        return Finding("ok", "schema", f"version {version}, as this code expects")
    migrate = f"Run `python -m app migrate`; it applies {newest()} and whatever comes before."
    if version is None:
        return Finding("wrong", "schema", "there is none yet", migrate)
    if version < newest():
        return Finding("wrong", "schema", f"version {version} is older than this code's {newest()}", migrate)
    todo = "Deploy the newer code; migrations do not go back."
    return Finding("wrong", "schema", f"version {version} is newer than this code's {newest()}", todo)


async def _census(pool: Pool, queries: Queries) -> Findings:
    ages = {"min_age": DOUBT_SECONDS, "settled_age": SETTLED_SECONDS}
    try:
        users, doubts, silence = await _ask(pool, (queries.get_user_counts, ages))
    except DatabaseUnavailable as error:
        yield Finding("wrong", "open doubts", f"the tables cannot be read: {error.reason}", "Look at the database.")
        return
    if doubts:
        todo = "Run `python -m app reconcile`, and with --apply if its table is right."
        yield Finding("wrong", "open doubts", f"{doubts}: Backboard may hold assistants that no row knows", todo)
    else:
        yield Finding("ok", "open doubts", f"none; {users} users")
    if silence is None:
        yield Finding("ok", "last change", "no user yet, so nothing is known of Clerk's webhooks")
        return
    old = silence > DAY_SECONDS
    todo = "If people signed up or in since the last change, look at the endpoint in Clerk's dashboard." if old else ""
    yield Finding("ok", "last change", f"in users {_ago(silence)}; /readyz has the last event of a process", todo)


def _ago(seconds: int) -> str:
    for unit, length in (("day", DAY_SECONDS), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            number = seconds // length
            return f"{number} {unit}{'' if number == 1 else 's'} ago"
    return "less than a minute ago"


async def _ask(pool: Pool, statement: Statement) -> Any:
    """The only row of an answer."""
    async with pool.connection(CONNECT_SECONDS) as connection:
        (rows,) = await execute(connection, statement, seconds=QUERY_SECONDS)
    return rows[0]
