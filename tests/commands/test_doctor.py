"""`python -m app doctor`: a line for each check, what to do next, no secret, nothing changed."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from app.application import create_app
from app.commands.doctor import database
from app.commands.doctor import report as doctor_report
from app.commands.doctor.command import examine
from app.commands.doctor.positions import check_positions
from app.http import client
from app.postgres.applied_migrations import MigrationError
from app.postgres.migration_files import newest, read_migrations
from app.postgres.migrations import migrate
from app.postgres.pipeline import Rows, Statement, execute
from app.postgres.schema import MIGRATIONS_TABLE, TABLES
from tests.backboard.test_certificate import self_signed
from tests.support import commands
from tests.support.databases import limited_role, temporary_database
from tests.support.environment import COMPLETE, complete_environment
from tests.support.factories import Person, user_created
from tests.support.service import Service, environment, in_process, settings_of
from tools.processes import free_port
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import status
from tools.sandbox.clerk import LOCAL_KEY, Clerk
from tools.sandbox.clerk.frontend_api import ClerkIssuer, new_key, pem_of
from tools.sandbox.faults import garbage

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]


@dataclass
class Report:
    """The output of doctor."""

    code: int
    lines: list[str]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def states(self, what: str) -> list[str]:
        """The states of the lines of one check."""
        return [line.split()[0] for line in self.lines if re.match(rf"(ok|wrong|unknown) +{what}  ", line)]

    @property
    def todos(self) -> list[str]:
        return [line for line in self.lines if re.match(r"  \d+\. ", line)]


Ask = Callable[..., Coroutine[Any, Any, Report]]


@pytest.fixture
def ask(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ask:
    """Run doctor; keyword arguments are additional variables, and None removes one."""

    async def asked(**more: str | None) -> Report:
        complete_environment(monkeypatch, tmp_path)
        for name, value in {**variables, **more}.items():
            monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
        lines: list[str] = []
        return Report(await examine(lines.append), lines)

    return asked


def be_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a database that does not answer half a second."""
    monkeypatch.setattr(database, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(database, "connect_seconds", lambda _: 0)


@pytest.fixture
def clerk() -> Iterator[Clerk]:
    with Clerk({LOCAL_KEY}) as clerk:
        yield clerk


@pytest.fixture
def empty(database_url: str) -> Iterator[str]:
    """An empty database's address."""
    with temporary_database(database_url) as url:
        yield url


def changed(url: str, **parts: str) -> str:
    """The address with other parts of it."""
    return urlsplit(url)._replace(**parts).geturl()


async def test_all_is_well(ask: Ask, clerk: Clerk) -> None:
    """Exit 0, a line for each check, and a last line that says so."""
    clerk.add_user()
    report = await ask(CLERK_SECRET_KEY=LOCAL_KEY, CLERK_API_URL=clerk.url)

    assert report.code == 0, report.text
    for what in (
        "configuration",
        "database",
        "connections",
        "session",
        "schema",
        "rights",
        "open doubts",
        "positions",
        "last change",
        "Backboard",
    ):
        assert report.states(what) == ["ok"], report.text
    assert "counts 1 users" in report.text
    assert report.lines[-1].startswith("All is well")


async def test_what_is_taken_with_advice_is_said_and_is_no_fault(ask: Ask, database_url: str) -> None:
    """A parameter that only an ORM knows is left out."""
    mark = "&" if "?" in database_url else "?"

    report = await ask(DATABASE_URL=f"{database_url}{mark}pgbouncer=true&connection_limit=1")

    assert report.code == 0, report.text
    assert report.states("configuration") == ["ok", "ok"]
    assert "address: pgbouncer, connection_limit" in report.text


async def test_the_command_prints_to_stdout_and_exits_with_the_code(variables: dict[str, str]) -> None:
    code, stdout, stderr = commands.run("doctor", checkout=commands.ROOT, **variables)

    assert (code, stderr) == (0, "")
    assert "All is well" in stdout


async def test_it_changes_nothing(ask: Ask, service: Service, database: Database, backboard: Sandbox) -> None:
    """Backboard gets two listings, and the rows stay as they were."""
    await service.deliver(user_created(Person()))
    tables = (b"TABLE users", b"TABLE provisioning_attempts", b"TABLE clerk_backboard_migrations")
    before = [database.execute(table).fetchall() for table in tables]
    calls = len(backboard.calls())

    await ask()

    assert [database.execute(table).fetchall() for table in tables] == before
    assert [call.kind for call in backboard.calls()[calls:]] == ["list", "list"]


async def test_no_secret_is_printed(ask: Ask, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the value of a variable nor a part of an address, whether right or wrong."""
    be_impatient(monkeypatch)
    name = urlsplit(database_url).path.removeprefix("/")
    wrong = "postgresql://canary-user:canary-pass@canary-host.invalid/canary-name"
    reports = [
        await ask(),
        await ask(DATABASE_URL=wrong, BACKBOARD_API_KEY="canary-key", SERVICE_TOKENS="canary-token-of-16-letters"),
        await ask(DATABASE_URL="mysql://canary", CLERK_WEBHOOK_SIGNING_SECRET="canary", CLERK_SECRET_KEY="canary"),
    ]

    for report in reports:
        assert "canary" not in report.text
        assert "127.0.0.1" not in report.text
        assert f"/{name}" not in report.text


@pytest.mark.parametrize("name", sorted(COMPLETE))
async def test_a_missing_variable_is_named(ask: Ask, name: str) -> None:
    """Exit 78; the checks that do not need the variable are done."""
    report = await ask(**{name: None})

    assert report.code == 78
    assert report.states("configuration") == ["wrong"]
    assert f"{name} " in report.text
    assert report.states("Backboard") == ["unknown"]
    assert report.states("database") == (["unknown"] if name == "DATABASE_URL" else ["ok"])
    assert ".env.example" in report.todos[0]


async def test_all_missing_variables_are_named_at_once(ask: Ask, variables: dict[str, str]) -> None:
    """Each has a line of its own."""
    report = await ask(**dict.fromkeys(variables))

    assert report.code == 78
    assert report.states("configuration") == ["wrong"] * len(COMPLETE)


MALFORMED = {
    "DATABASE_URL": "mysql://canary",
    "CLERK_WEBHOOK_SIGNING_SECRET": "whsec_canary",
    "BACKBOARD_API_KEY": "canary canary",
    "BACKBOARD_API_URL": "http://canary.example",
    "SERVICE_TOKENS": "canary",
    "ASSISTANT_NAME_PREFIX": "canary canary",
    "CLERK_SECRET_KEY": "canary",
    "CLERK_API_URL": "ftp://canary.example",
    "CLERK_ISSUER": "canary",
    "CLERK_AUTHORIZED_PARTIES": "canary",
    "CLERK_JWT_KEY": "canary",
    "CLERK_INSTANCE_ID": "canary",
    "PROVISIONING_CONCURRENCY": "canary",
    "PORT": "canary",
    "WEB_CONCURRENCY": "canary",
    "LOG_LEVEL": "canary",
    "LOG_FORMAT": "canary",
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_variable_is_named(ask: Ask, name: str) -> None:
    """Exit 78; the value is not printed."""
    report = await ask(**{name: MALFORMED[name]})

    assert report.code == 78
    (line,) = (line for line in report.lines if line.startswith("wrong"))
    assert f"{name} " in line
    assert "canary" not in report.text


async def test_a_database_that_is_not_there(ask: Ask, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens: exit 1, and the checks that need the database are unknown."""
    be_impatient(monkeypatch)
    user = urlsplit(database_url).username
    report = await ask(DATABASE_URL=f"postgresql://{user}@127.0.0.1:{free_port()}/app")

    assert report.code == 1
    assert (report.states("database"), report.states("schema")) == (["wrong"], ["unknown"])
    assert "nothing listens" in report.text
    assert report.states("Backboard") == ["ok"]
    assert "DATABASE_URL" in report.todos[0]


async def test_a_database_that_does_not_answer(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts the connection and sends nothing; doctor does not wait for ever."""
    be_impatient(monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        report = await ask(DATABASE_URL=f"postgresql://app@127.0.0.1:{silent.getsockname()[1]}/app")

    assert report.code == 1
    assert report.states("database") == ["wrong"]


async def test_a_database_name_that_does_not_exist(
    ask: Ask, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_impatient(monkeypatch)
    report = await ask(DATABASE_URL=changed(database_url, path="/canary"))

    assert report.code == 1
    # PgBouncer has one SQLSTATE for whatever it refuses.
    assert re.search("no such database|its pooler refuses", report.text)
    assert "`python -m app psql` shows the host's own words" in report.todos[0]


async def test_a_database_that_is_not_postgres(ask: Ask, backboard: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address of another program."""
    be_impatient(monkeypatch)
    report = await ask(DATABASE_URL=f"postgresql://app@127.0.0.1:{urlsplit(backboard.url).port}/app")

    assert report.code == 1
    assert report.states("database") == ["wrong"]


async def test_a_database_without_a_schema(ask: Ask, empty: str) -> None:
    """Exit 1, and the command that creates it."""
    report = await ask(DATABASE_URL=empty)

    assert report.code == 1
    assert (report.states("database"), report.states("schema")) == (["ok"], ["wrong"])
    assert "app migrate" in report.todos[0]
    assert newest() in report.todos[0]


@pytest.mark.parametrize(("version", "word"), [("0000", "older"), ("9999", "newer")])
async def test_a_schema_of_another_version(ask: Ask, empty: str, version: str, word: str) -> None:
    """An older one needs a migration, a newer one newer code."""
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("CREATE TABLE clerk_backboard_migrations (version TEXT)")
        connection.execute("INSERT INTO clerk_backboard_migrations VALUES (%s)", [version])
    report = await ask(DATABASE_URL=empty)

    assert report.code == 1
    assert report.states("schema") == ["wrong"]
    assert word in report.text
    assert ("migrate" in report.todos[0]) == (word == "older")


@pytest.mark.ways("direct")  # The setting reaches new connections only, and a pooler keeps its own.
async def test_a_database_that_takes_no_writes(ask: Ask, empty: str) -> None:
    """A replica answers every read."""
    assert commands.run("migrate", DATABASE_URL=empty)[0] == 0
    name = urlsplit(empty).path.removeprefix("/")
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
    report = await ask(DATABASE_URL=empty)

    assert report.code == 1
    assert "read-only" in report.text


async def test_too_few_connections(ask: Ask, empty: str) -> None:
    """Two releases overlap during a restart; the smallest limit of server, user and database counts."""
    name = urlsplit(empty).path.removeprefix("/")
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 24".encode())
    enough = await ask(DATABASE_URL=empty)
    short = await ask(DATABASE_URL=empty, PROVISIONING_CONCURRENCY="6")

    assert enough.states("connections") == ["ok"]
    assert "24 may be needed of 24; enough for 1 machine" in enough.text
    assert short.states("connections") == ["wrong"]
    assert "26 may be needed and 24 are allowed" in short.text
    assert short.todos[0].lstrip(" 1.").startswith("Set PROVISIONING_CONCURRENCY=5;")


async def test_open_attempts_are_counted(ask: Ask, database: Database) -> None:
    """Except those of the last minute, which are sign-ups under way."""
    for age in ("1 hour", "2 hours", "1 second"):
        database.execute(
            "INSERT INTO provisioning_attempts (clerk_id, last_at) VALUES (%s, now() - %s::INTERVAL)",
            [Person().clerk_id, age],
        )
    report = await ask()

    assert report.code == 1
    assert report.states("open doubts") == ["wrong"]
    assert "2 sign-up(s) without a row" in report.text
    assert "reconcile" in report.todos[0]


DOUBTS = {
    "a half-made row": (
        "INSERT INTO provisioning_attempts (clerk_id, last_at) VALUES ('user_a', now() - INTERVAL '2 hours')",
        "1 sign-up(s) without a row",
    ),
    "a half-made deletion": (
        (
            "INSERT INTO provisioning_attempts (clerk_id, last_at) VALUES ('user_a', now() - INTERVAL '2 hours');"
            "INSERT INTO deleted_users (clerk_id) VALUES ('user_a')"
        ),
        "1 deletion(s) of users not finished at Backboard",
    ),
    "a second assistant": (
        (
            "INSERT INTO users (clerk_id, assistant_id) VALUES ('user_a', gen_random_uuid());"
            "INSERT INTO provisioning_attempts (clerk_id, tries, last_at, resolved_at)"
            " VALUES ('user_a', 2, now() - INTERVAL '2 hours', now() - INTERVAL '2 hours')"
        ),
        "1 user(s) who may have a second assistant",
    ),
    "a half-made deletion of a session": (
        (
            "INSERT INTO users (clerk_id, assistant_id) VALUES ('user_a', gen_random_uuid());"
            "INSERT INTO deleted_threads (session_id, user_id, thread_id, deleted_at)"
            " SELECT gen_random_uuid(), id, gen_random_uuid(), now() - INTERVAL '2 hours' FROM users"
        ),
        "1 deletion(s) of sessions not finished at Backboard",
    ),
}


@pytest.mark.parametrize(("statements", "words"), DOUBTS.values(), ids=DOUBTS)
async def test_each_open_doubt_is_named(ask: Ask, database: Database, statements: str, words: str) -> None:
    """By what is unfinished; reconcile repairs each."""
    database.execute(statements.encode())

    report = await ask()

    assert report.states("open doubts") == ["wrong"]
    assert words in report.text
    assert "reconcile" in "".join(report.todos)


async def test_users_whose_assistant_is_lost_are_named(ask: Ask, service: Service, backboard: Sandbox) -> None:
    """With the command that mends it; the names end after three."""
    people = [Person() for _ in range(6)]
    for person in people:
        await service.deliver(user_created(person))
    well = await ask()
    for person in people[:4]:
        backboard.delete_assistant(backboard.alive(person.assistant_name)[0].id)

    report = await ask()

    assert (well.states("assistants"), well.code) == (["ok"], 0)
    assert (report.states("assistants"), report.code) == (["wrong"], 1)
    (line,) = [line for line in report.lines if " assistants " in line]
    assert f"lost those of 4 of 6 users: {', '.join(sorted(one.clerk_id for one in people)[:3])} ..." in line
    assert "reconcile --apply" in report.todos[0]


async def test_an_assistant_that_is_not_listed_yet_is_not_lost(ask: Ask, service: Service, backboard: Sandbox) -> None:
    """A listing may lag; the assistant is asked for by its id."""
    await service.deliver(user_created(Person()))
    backboard.switches.visible_after = 3600

    assert (await ask()).states("assistants") == ["ok"]


async def test_assistants_that_cannot_be_compared_are_not_well(
    ask: Ask, service: Service, backboard: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.deliver(user_created(Person()))
    backboard.delete_assistant(backboard.alive()[0].id)
    monkeypatch.setattr(client, "PAUSES", ())
    backboard.next("get", status(500))

    assert (await ask()).states("assistants") == ["wrong"]


@pytest.mark.parametrize(("age", "state"), [("50 minutes", "ok"), ("70 minutes", "wrong")])
async def test_a_resolved_attempt_counts_when_reconcile_would_delete_it(
    ask: Ask, database: Database, age: str, state: str
) -> None:
    """Two processes that work on one user at a time leave one; until then there is nothing to do."""
    database.execute(
        "INSERT INTO provisioning_attempts (clerk_id, tries, last_at, resolved_at)"
        " VALUES ('user_a', 2, now() - %s::INTERVAL, now())",
        [age],
    )

    report = await ask()

    assert report.states("open doubts") == [state]


async def test_a_long_time_without_a_change_is_pointed_out(ask: Ask, service: Service, database: Database) -> None:
    """It is not wrong, but the operator should look."""
    await service.deliver(user_created(Person()))
    recent = await ask()
    database.execute("UPDATE users SET updated_at = now() - INTERVAL '3 days'")
    old = await ask()

    assert "less than a minute ago" in recent.text
    assert recent.todos == []
    assert "3 days ago" in old.text
    assert (old.code, len(old.todos)) == (0, 1)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (status(401), "refuses BACKBOARD_API_KEY (401)"),
        (status(403), "refuses BACKBOARD_API_KEY (403)"),
        (status(402), "refuses BACKBOARD_API_KEY (402)"),
        (status(404), "not its API (404)"),
        (status(500), "no usable answer"),
        (status(429), "no usable answer"),
        (garbage(), "no usable answer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_backboard_that_refuses_or_fails(ask: Ask, backboard: Sandbox, fault: Any, words: str) -> None:
    """Exit 1, and the variable to compare."""
    backboard.next("list", fault)
    report = await ask()

    assert report.code == 1
    assert report.states("Backboard") == ["wrong"]
    assert words in report.text
    assert "BACKBOARD_API" in report.todos[0]


async def test_a_backboard_that_is_not_there(ask: Ask) -> None:
    """Nothing listens at the address."""
    report = await ask(BACKBOARD_API_URL=f"http://127.0.0.1:{free_port()}/api")

    assert (report.code, report.states("Backboard")) == (1, ["wrong"])


async def test_a_backboard_that_is_clerk(ask: Ask, clerk: Clerk) -> None:
    """The two addresses are mixed up."""
    report = await ask(BACKBOARD_API_URL=clerk.url)

    assert (report.code, report.states("Backboard")) == (1, ["wrong"])


@pytest.mark.parametrize("key", ["sk_test_canary", "sk_live_canary"])
async def test_a_key_that_clerk_refuses(ask: Ask, clerk: Clerk, key: str) -> None:
    """The key of another instance, or a withdrawn one."""
    report = await ask(CLERK_SECRET_KEY=key, CLERK_API_URL=clerk.url)

    assert (report.code, report.states("Clerk")) == (1, ["wrong"])
    assert "CLERK_SECRET_KEY" in report.todos[0]


async def test_without_clerks_key_clerk_is_not_called(ask: Ask) -> None:
    """The key is optional; the line names what is off without it."""
    report = await ask()

    assert report.states("Clerk") == ["ok"]
    assert "backfill" in report.text


async def test_the_callers_of_ensure_user_are_named(ask: Ask) -> None:
    """Service tokens, session tokens, or none."""
    with ClerkIssuer() as issuer:
        closed = await ask(SERVICE_TOKENS=None)
        tokens = await ask()
        sessions = await ask(CLERK_ISSUER=issuer.url)
        fixed = await ask(CLERK_JWT_KEY=pem_of(new_key()), CLERK_AUTHORIZED_PARTIES="https://app.example.com")

    assert "closed: SERVICE_TOKENS is not set" in closed.text
    assert "open to 2 service token(s)" in tokens.text
    assert "CLERK_AUTHORIZED_PARTIES is not set" in sessions.text
    assert "any origin" not in fixed.text
    assert {report.code for report in (closed, tokens, sessions, fixed)} == {0}


@pytest.fixture
async def untrusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The address of a server with a certificate that nobody trusts."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "localhost", 0, ssl=self_signed(tmp_path))
    async with server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("what", "addresses"),
    [
        ("Backboard", {"BACKBOARD_API_URL": "{}/api"}),
        ("Clerk", {"CLERK_SECRET_KEY": LOCAL_KEY, "CLERK_API_URL": "{}/v1"}),
        ("ensure-user", {"CLERK_ISSUER": "{}"}),
    ],
)
async def test_a_certificate_that_is_not_trusted(
    ask: Ask, untrusted: str, what: str, addresses: dict[str, str]
) -> None:
    """A private CA, or a proxy that opens TLS: doctor says so, and which variable helps."""
    report = await ask(**{name: value.format(untrusted) for name, value in addresses.items()})

    assert (report.code, report.states(what)) == (1, ["wrong"])
    assert "its certificate is not trusted: no authority that is trusted here has issued it" in report.text
    assert "SSL_CERT_FILE" in report.todos[0]


async def test_a_proxy_is_named(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is https goes through it; a SOCKS proxy is a wrong configuration, unless all is on this machine."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://canary:canary@127.0.0.1:{free_port()}")
    local = await ask()
    monkeypatch.setenv("HTTPS_PROXY", "socks5://canary")
    socks = await ask(BACKBOARD_API_URL="https://backboard.example/api")

    assert (local.code, local.states("proxy")) == (0, [])
    assert (socks.code, socks.states("configuration")) == (78, ["wrong"])
    assert "canary" not in socks.text


BEHIND_A_PROXY = {"BACKBOARD_API_URL": "https://b.invalid/api", "CLERK_ISSUER": "https://c.invalid"}


@pytest.mark.parametrize(
    ("name", "proxy"),
    [
        ("HTTPS_PROXY", "http://canary:canary@127.0.0.1:{}"),
        ("https_proxy", "127.0.0.1:{}"),
        ("ALL_PROXY", "http://canary.invalid:{}"),
        ("ALL_PROXY", "https://127.0.0.1:{}"),
    ],
)
async def test_a_proxy_that_is_not_there_is_named_and_not_what_is_behind_it(
    ask: Ask, name: str, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, proxy.format(free_port()))
    report = await ask(**BEHIND_A_PROXY)
    monkeypatch.setenv("NO_PROXY", "b.invalid")
    direct = await ask(BACKBOARD_API_URL="https://b.invalid/api")

    assert (report.code, report.states("proxy")) == (1, ["ok", "wrong"])
    assert (report.states("Backboard"), report.states("ensure-user")) == (["unknown"], ["unknown"])
    assert len(report.todos) == 1
    assert "HTTPS_PROXY" in report.todos[0]
    assert "canary" not in report.text
    assert direct.states("Backboard") == ["wrong"]


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "403 Forbidden", "502 Bad Gateway"])
async def test_a_proxy_that_refuses_is_named(ask: Ask, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        report = await ask(BACKBOARD_API_URL="https://b.invalid/api")

    assert (report.states("proxy"), report.states("Backboard")) == (["ok"], ["wrong"])
    assert "the proxy refuses the connection" in report.text
    assert "BACKBOARD_API_URL" not in "".join(report.todos)


async def test_an_issuer_that_has_no_keys(ask: Ask) -> None:
    """No session token could be verified; a wrong address is the usual reason."""
    report = await ask(CLERK_ISSUER=f"http://127.0.0.1:{free_port()}")

    assert (report.code, report.states("ensure-user")) == (1, ["wrong"])
    assert "CLERK_ISSUER" in report.todos[0]


HARMFUL_DEFAULTS = {
    "array_nulls": "off",
    "synchronous_commit": "off",
    "default_transaction_read_only": "on",
    "session_replication_role": "replica",
}
HARMLESS_DEFAULTS = {
    "datestyle": "'SQL, DMY'",
    "timezone": "'Asia/Kolkata'",
    "default_transaction_isolation": "serializable",
    "client_encoding": "LATIN1",
    "synchronous_commit": "remote_apply",
    "search_path": "public",
}


def name_of(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def run_as_owner(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(statement.encode())


@pytest.mark.ways("direct")  # A setting reaches new connections only, and a pooler keeps its own.
async def test_a_default_that_harms_is_named_with_the_statement_that_mends_it(ask: Ask, empty: str) -> None:
    """The statement is run as it is printed, and then all is well, whether the database sets it or the user."""
    await migrate(empty)
    database, role = name_of(empty), urlsplit(empty).username
    for whose in (f"DATABASE {database}", f"ROLE {role} IN DATABASE {database}"):
        for name, value in HARMFUL_DEFAULTS.items():
            run_as_owner(empty, f"ALTER {whose} SET {name} = {value}")
        report = await ask(DATABASE_URL=empty)

        assert (report.code, len(report.states("session"))) == (1, len(HARMFUL_DEFAULTS))
        mends = [found[1] for todo in report.todos if (found := re.search(r"(ALTER .+;)$", todo))]
        assert len(mends) == len(HARMFUL_DEFAULTS)
        for statement in mends:
            run_as_owner(empty, statement)
        assert (await ask(DATABASE_URL=empty)).states("session") == ["ok"]


@pytest.mark.ways("direct")
async def test_a_default_that_the_service_does_not_depend_on_is_not_held_against_it(ask: Ask, empty: str) -> None:
    await migrate(empty)
    for name, value in HARMLESS_DEFAULTS.items():
        run_as_owner(empty, f"ALTER DATABASE {name_of(empty)} SET {name} = {value}")

    report = await ask(DATABASE_URL=empty)

    assert report.code == 0, report.text


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "LATIN9"])
async def test_a_database_that_cannot_hold_every_name(ask: Ask, encoding: str, database_url: str) -> None:
    """With the statement that makes one that can."""
    with temporary_database(database_url, encoding) as url:
        report = await ask(DATABASE_URL=url)

    assert (report.code, report.states("session")) == (1, ["wrong"])
    assert encoding in report.text
    assert "ENCODING 'UTF8' TEMPLATE template0;" in report.todos[0]


@pytest.mark.ways("direct")
async def test_missing_rights_are_named_with_the_grants_that_give_them(ask: Ask, empty: str) -> None:
    """Before the first event: /readyz says so too. The statements are run as they are printed."""
    await migrate(empty)
    with limited_role(empty) as limited:
        before = await ask(DATABASE_URL=limited)
        async with in_process(create_app(settings_of(environment(limited, "http://127.0.0.1:9/api")))) as service:
            unready = (await service.client.get("/readyz")).json()["status"]
            refused = await service.deliver(user_created(Person()))
        for todo in before.todos:
            run_as_owner(empty, todo.partition(". ")[2])
        after = await ask(DATABASE_URL=limited)

    assert (before.code, set(before.states("rights"))) == (1, {"wrong"})
    assert "this user may not SELECT, INSERT, UPDATE, DELETE in users" in before.text
    assert (unready, refused.status_code) == ("database_rights", 503)
    assert (after.code, after.states("rights")) == (0, ["ok"]), after.text


RIGHTS = {
    "only reading": ("REVOKE INSERT, UPDATE, DELETE ON users FROM {}", "INSERT, UPDATE, DELETE in users"),
    "one right": ("REVOKE DELETE ON deleted_threads FROM {}", "DELETE in deleted_threads"),
    "a function": ("REVOKE EXECUTE ON FUNCTION find_users FROM PUBLIC", "may not call find_users"),
    "the version": ("REVOKE SELECT ON clerk_backboard_migrations FROM PUBLIC", "SELECT in clerk_backboard_migrations"),
    "hidden rows": ("ALTER TABLE messages ENABLE ROW LEVEL SECURITY", "hides rows of messages"),
    "the schema": ("REVOKE USAGE ON SCHEMA public FROM PUBLIC", "the tables stand in public"),
    "another path": ("ALTER ROLE {} SET search_path = elsewhere", "the tables stand in public"),
}


@pytest.mark.ways("direct")
async def test_each_kind_of_missing_right_is_told_apart(ask: Ask, empty: str) -> None:
    """And mended by the statement that is printed."""
    await migrate(empty)
    with limited_role(empty) as limited:
        role = str(urlsplit(limited).username)
        for table, own in TABLES.items():
            if table != MIGRATIONS_TABLE:
                run_as_owner(empty, f"GRANT {', '.join(own.rights)} ON {table} TO {role}")
        for what, (change, words) in RIGHTS.items():
            run_as_owner(empty, change.format(role))
            before = await ask(DATABASE_URL=limited)
            assert (before.code, len(before.todos)) == (1, 1), what
            assert words in before.text, what
            run_as_owner(empty, before.todos[0].partition(". ")[2].partition(" or ")[0])
            after = await ask(DATABASE_URL=limited)
            assert after.code == 0, (what, after.text)


POSITIONS = {
    "lags": "SELECT setval(pg_get_serial_sequence('messages', 'position'), 1)",
    "is at the end of its type": "SELECT setval(pg_get_serial_sequence('messages', 'position'), 9223372036854775807)",
    "is nearly at its end": "SELECT setval(pg_get_serial_sequence('messages', 'position'), 9223372036854775000)",
    "has an end of its own": "ALTER TABLE messages ALTER COLUMN position SET MAXVALUE 100",
    "has the end of an INTEGER": (
        "ALTER TABLE messages ALTER COLUMN position SET MAXVALUE 2147483647;"
        " SELECT setval(pg_get_serial_sequence('messages', 'position'), 2147483647)"
    ),
    "is one of INTEGER": (
        "ALTER SEQUENCE messages_position_seq AS INTEGER;"
        " SELECT setval(pg_get_serial_sequence('messages', 'position'), 2147483647)"
    ),
    "counts down": "ALTER SEQUENCE messages_position_seq INCREMENT BY -1 MINVALUE -100",
    "is lost": "ALTER TABLE messages ALTER COLUMN position DROP IDENTITY",
    "is a default's, at its end": (
        "ALTER TABLE messages ALTER COLUMN position DROP IDENTITY; CREATE SEQUENCE own AS INTEGER MAXVALUE 50"
        " OWNED BY messages.position; ALTER TABLE messages ALTER COLUMN position SET DEFAULT nextval('own')"
    ),
    "is a default's, and no column's": ("ALTER SEQUENCE own OWNED BY NONE; SELECT setval('own', 40)"),
}


async def test_a_sequence_that_harms_is_named_with_the_statement_that_mends_it(empty: str) -> None:
    """At its end every message would be answered 503. The statements are run as they are printed."""
    await migrate(empty)
    run_as_owner(empty, SOME_MESSAGES)
    for number, (what, change) in enumerate(POSITIONS.items()):
        run_as_owner(empty, change)
        before, todos = await positions_of(empty)
        assert before == "wrong", what
        run_as_owner(empty, todos[0].replace("; and then ", "; "))
        assert await positions_of(empty) == ("ok", []), what
        run_as_owner(empty, SOME_MESSAGES.replace("user_a", f"user_{number}"))


async def positions_of(url: str) -> tuple[str, list[str]]:
    """The state of the line, and what to do."""
    lines: list[str] = []
    report = doctor_report.Report(lines.append)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:

        async def ask(statement: Statement) -> Rows:
            return (await execute(connection, statement, seconds=10))[0]

        await check_positions(report, ask)
    report.finish()
    return lines[0].split()[0], [line.partition(". ")[2] for line in lines if re.match(r"  \d+\. ", line)]


async def test_messages_at_the_largest_position_are_named(ask: Ask, empty: str) -> None:
    """No statement can know what may move; nothing else is said to be wrong."""
    await migrate(empty)
    run_as_owner(empty, SOME_MESSAGES)
    run_as_owner(empty, "UPDATE messages SET position = 9223372036854775807 WHERE content = '3'")

    report = await ask(DATABASE_URL=empty)

    assert (report.code, report.states("positions")) == (1, ["wrong"])
    assert "give those above" in report.todos[0]


SOME_MESSAGES = """
WITH person AS (
    INSERT INTO users (clerk_id, assistant_id) VALUES ('user_a', gen_random_uuid()) RETURNING id
), session AS (
    INSERT INTO sessions (user_id, thread_id) SELECT id, gen_random_uuid() FROM person RETURNING id
)
INSERT INTO messages (role, content, session_id) SELECT 'user', number, id FROM session, generate_series(1, 3) AS number
"""
OTHER_FUNCTION = "CREATE FUNCTION find_users({}) RETURNS TEXT LANGUAGE sql AS $$ SELECT 'x' $$"
FUNCTIONS = {
    "lost": "DROP FUNCTION find_users",
    "renamed": "ALTER FUNCTION find_users RENAME TO find_people",
    "moved": "CREATE SCHEMA elsewhere; ALTER FUNCTION find_users SET SCHEMA elsewhere",
    "with other arguments": f"DROP FUNCTION find_users; {OTHER_FUNCTION.format('TEXT')}",
    "another of the same arguments": f"DROP FUNCTION find_users; {OTHER_FUNCTION.format('TEXT []')}",
    "with another body": "",
}


async def test_a_function_that_is_lost_or_another_is_named(ask: Ask, empty: str) -> None:
    """The version alone says that all is well, and every user would be 503; /readyz and migrate see it too."""
    await migrate(empty)
    with psycopg.connect(empty) as connection:
        ((made,),) = connection.execute("SELECT pg_get_functiondef('find_users(text[])'::REGPROCEDURE)").fetchall()
    for what, change in FUNCTIONS.items():
        run_as_owner(empty, change or made.replace("SELECT", "SELECT ALL", 1))
        report = await ask(DATABASE_URL=empty)
        async with in_process(create_app(settings_of(environment(empty, "http://127.0.0.1:9/api")))) as service:
            unready = (await service.client.get("/readyz")).json()["status"]
        with pytest.raises(MigrationError, match=r"find_users\(TEXT \[\]\)\. .*0004_create_functions.sql"):
            await migrate(empty)

        assert (report.code, report.states("schema"), unready) == (1, ["wrong"], "schema_missing"), what
        assert "find_users(TEXT [])" in report.text, what
        assert "0004_create_functions.sql" in report.todos[0], what
        run_as_owner(empty, "DROP FUNCTION IF EXISTS find_users(TEXT), find_users(TEXT []), find_people CASCADE")
        run_as_owner(empty, made)


TRIGGERS = {
    "gone with its function": ("DROP FUNCTION uncount_messages() CASCADE", "is missing"),
    "gone": ("DROP TRIGGER messages_uncount ON messages", "is missing"),
    "switched off": ("ALTER TABLE messages DISABLE TRIGGER messages_uncount", "is switched off"),
    "only for a replica": ("ALTER TABLE messages ENABLE REPLICA TRIGGER messages_uncount", "is switched off"),
    "another's": (
        "CREATE OR REPLACE TRIGGER messages_uncount AFTER INSERT ON messages EXECUTE FUNCTION uncount_messages()",
        "is another one",
    ),
    "under another name": ("ALTER TRIGGER messages_uncount ON messages RENAME TO others", "is missing"),
}


async def test_a_trigger_that_is_lost_or_another_is_named(ask: Ask, empty: str) -> None:
    """With DROP FUNCTION ... CASCADE it goes as well, and the counts of messages would be wrong without an error."""
    await migrate(empty)
    made = next(one.up.decode() for one in read_migrations() if one.version == "0008")
    statements = "".join(re.findall(r"CREATE FUNCTION uncount_messages.*?\$\$;|CREATE TRIGGER.*?;", made, re.DOTALL))
    statements = re.sub(r"CREATE (FUNCTION|TRIGGER)", r"CREATE OR REPLACE \1", statements)
    for what, (change, fault) in TRIGGERS.items():
        run_as_owner(empty, change)
        report = await ask(DATABASE_URL=empty)
        async with in_process(create_app(settings_of(environment(empty, "http://127.0.0.1:9/api")))) as service:
            unready = (await service.client.get("/readyz")).json()["status"]
        with pytest.raises(MigrationError, match=r"triggers .*messages_uncount on messages\b.* CREATE TRIGGER .*0008"):
            await migrate(empty)

        assert (report.code, set(report.states("schema")), unready) == (1, {"wrong"}, "schema_missing"), what
        assert f"the trigger messages_uncount on messages {fault}" in report.text, what
        assert "message_count = NULL" in report.todos[-1], what
        run_as_owner(empty, f"ALTER TABLE messages ENABLE TRIGGER USER; {statements}")
    assert await migrate(empty) == []


@pytest.mark.ways("direct")  # A pooler keeps its own settings.
async def test_a_search_path_that_leads_nowhere_is_named(ask: Ask, empty: str) -> None:
    """Before the tables are there and after; the statement is run as it is printed."""
    whose = f"DATABASE {name_of(empty)}"
    for path in ("''", "pg_temp", "pg_catalog", "gone"):
        run_as_owner(empty, f"ALTER {whose} SET search_path = {path}")
        report = await ask(DATABASE_URL=empty)
        assert (report.code, report.states("schema")) == (1, ["wrong"]), path
        assert "leads to no schema in which tables can be made" in report.text, path
        run_as_owner(empty, report.todos[0].partition(". ")[2].partition(" or let")[0])
    assert "there is none yet" in (await ask(DATABASE_URL=empty)).text
