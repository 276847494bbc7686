"""The database's part of `doctor`: the server, its connections, the schema, and what the rows tell."""

from app.commands.doctor.asking import Ask
from app.commands.doctor.positions import check_positions
from app.commands.doctor.report import Report
from app.commands.doctor.session import check_place, check_rights, check_session, read_facts
from app.errors import DatabaseDown, DatabaseOutage, DatabaseUnavailable, SchemaMissing
from app.postgres.connection_budget import ConnectionBudget
from app.postgres.functions import list_wrong_functions, mend_functions
from app.postgres.migration_files import newest
from app.postgres.pipeline import Rows, Statement, execute
from app.postgres.pool import Pool, connect_seconds
from app.postgres.queries import Queries
from app.postgres.refusals import why_refused
from app.postgres.triggers import list_wrong_triggers, mend_triggers
from app.reasons import REASONS, meaning_of
from app.settings import ConfigurationError, DatabaseSettings, Settings, load

# The first with a built-in gen_random_uuid().
OLDEST_POSTGRES = 13
CONNECT_SECONDS = 4.0
# The checks that need the database, in the order of the report.
OF_SESSION = ("session", "rights", "schema")
OF_ROWS = ("open doubts", "positions", "last change")
QUERY_SECONDS = 10.0
# A younger attempt row belongs to a sign-up under way; the longest takes 12 s.
DOUBT_SECONDS = 60
# A resolved attempt row waits so long for reconcile; until then there is nothing to do.
SETTLED_SECONDS = 3600
DAY_SECONDS = 86_400
# In the order of the columns of count_doubts.
UNFINISHED = (
    "sign-up(s) without a row",
    "deletion(s) of users not finished at Backboard",
    "user(s) who may have a second assistant",
    "deletion(s) of sessions not finished at Backboard",
)


async def check_database(report: Report, settings: Settings | None) -> None:
    """Check the database; DATABASE_URL may be right although another variable is wrong."""
    try:
        url = (settings or load(DatabaseSettings)).database_url.get_secret_value()
    except ConfigurationError:
        report.skip("database", "connections", *OF_SESSION, *OF_ROWS, because_of="configuration")
        return
    pool = Pool(url, name="doctor", size=1)
    await pool.open()
    ask = _asking(pool, max(CONNECT_SECONDS, connect_seconds(url)))
    try:
        await _check_server(report, pool, ask, settings)
    except DatabaseUnavailable as error:
        why = await why_refused(url) if isinstance(error, DatabaseDown) else meaning_of(error)
        todo = "Compare DATABASE_URL with what its host says; `python -m app psql` shows the host's own words."
        report.wrong("database", f"it cannot be used: {why}", todo)
        report.skip("connections", *OF_SESSION, *OF_ROWS, because_of="database")
    else:
        await _check_inside(report, ask)
    finally:
        await pool.close()


def _asking(pool: Pool, connect_seconds: float) -> Ask:
    async def ask(statement: Statement) -> Rows:
        async with pool.connection(connect_seconds) as connection:
            (rows,) = await execute(connection, statement, seconds=QUERY_SECONDS)
        return rows

    return ask


async def _check_inside(report: Report, ask: Ask) -> None:
    """Check what a session finds, then what the rows tell; each only where what it needs is well."""
    try:
        facts = await read_facts(ask)
        await check_session(report, ask, facts)
        if not await check_place(report, ask, facts):
            report.skip("rights", *OF_ROWS, because_of="schema")
            return
        if not await check_rights(report, ask, facts):
            report.skip("schema", *OF_ROWS, because_of="rights")
            return
    except DatabaseUnavailable as error:
        report.wrong("session", f"the catalog cannot be read: {meaning_of(error)}", "Look at the database's own log.")
        report.skip("schema", "rights", *OF_ROWS, because_of="session")
        return
    if await _check_schema(report, ask):
        await _check_rows(report, ask)
    else:
        report.skip(*OF_ROWS, because_of="schema")


async def _check_server(report: Report, pool: Pool, ask: Ask, settings: Settings | None) -> None:
    ((version, read_only, allowed),) = await ask((Queries.load().get_server_facts, {}))
    release = version // 10_000
    encrypted = "with TLS" if await pool.uses_tls() else "without TLS, on this machine"
    if release < OLDEST_POSTGRES:
        report.wrong("database", f"Postgres {release} is too old", f"Move to Postgres {OLDEST_POSTGRES} or newer.")
    elif read_only:
        error = DatabaseOutage("database_read_only")
        report.wrong("database", meaning_of(error), REASONS[error.reason].remedy)
    else:
        report.ok("database", f"Postgres {release}, reached {encrypted}")
    if settings is not None:
        _check_connections(report, settings, allowed)


def _check_connections(report: Report, settings: Settings, allowed: int) -> None:
    """Check that the connections suffice for one machine, and count the machines that they suffice for."""
    budget = ConnectionBudget.of(settings)
    none, one = budget.needed(dynos=0), budget.needed()
    if one > allowed:
        remedy = budget.remedy(allowed)
        todo = f"{remedy[0].upper()}{remedy[1:]}; with more connections they may stay."
        report.wrong("connections", f"{one} may be needed and {allowed} are allowed", todo)
    else:
        machines = (allowed - none) // (one - none)
        report.ok("connections", f"{one} may be needed of {allowed}; enough for {machines} machine(s) like this")


async def _check_schema(report: Report, ask: Ask) -> bool:
    try:
        ((version,),) = await ask((Queries.load().get_schema_version, {}))
    except SchemaMissing:
        version = None
    except DatabaseUnavailable as error:
        report.wrong("schema", f"it cannot be read: {meaning_of(error)}", "Look at the database's own log.")
        return False
    migrate = f"Run `python -m app migrate`; it applies {newest()} and what comes before."
    if version is None:
        report.wrong("schema", "there is none yet", migrate)
    elif version < newest():
        report.wrong("schema", f"version {version} is older than this code's {newest()}", migrate)
    elif version > newest():
        todo = "Deploy the newer code; migrations do not go back."
        report.wrong("schema", f"version {version} is newer than this code's {newest()}", todo)
    else:
        return await _check_routines(report, ask)
    return False


async def _check_routines(report: Report, ask: Ask) -> bool:
    """Check that the functions and triggers of the schema stand, of which its version says nothing."""
    functions = await ask(list_wrong_functions(Queries.load()))
    triggers = await ask(list_wrong_triggers(Queries.load()))
    for signature, is_missing in functions:
        what = "is missing" if is_missing else "is another one than the migrations made"
        report.wrong("schema", f"the function {signature} {what}", mend_functions([signature]))
    for trigger, fault in triggers:
        report.wrong("schema", f"the trigger {trigger} {fault}", mend_triggers([trigger]))
    if not functions and not triggers:
        report.ok("schema", f"version {newest()}, as this code expects")
    return not functions and not triggers


async def _check_rows(report: Report, ask: Ask) -> None:
    ages, queries = {"min_age": DOUBT_SECONDS, "settled_age": SETTLED_SECONDS}, Queries.load()
    try:
        ((users, _, silence),) = await ask((queries.get_user_counts, ages))
        (counts,) = await ask((queries.count_doubts, ages))
        await check_positions(report, ask)
    except DatabaseUnavailable as error:
        report.wrong("open doubts", f"the tables cannot be read: {meaning_of(error)}", "Look at the database.")
        report.skip("positions", "last change", because_of="open doubts")
        return
    doubts = [f"{count} {what}" for count, what in zip(counts, UNFINISHED, strict=True) if count]
    if doubts:
        todo = "Run `python -m app reconcile`, and with --apply if its table is right."
        report.wrong("open doubts", ", ".join(doubts), todo)
    else:
        report.ok("open doubts", f"none; {users} users")
    if silence is None:
        report.ok("last change", "no user yet, so nothing is known of Clerk's webhooks")
        return
    todo = "If people signed up or in since the last change, look at the endpoint in Clerk's dashboard."
    text = f"in users {_ago(silence)}; /readyz has the last event of a process"
    report.ok("last change", text, todo if silence > DAY_SECONDS else "")


def _ago(seconds: int) -> str:
    for unit, length in (("day", DAY_SECONDS), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            number = seconds // length
            return f"{number} {unit}{'' if number == 1 else 's'} ago"
    return "less than a minute ago"
