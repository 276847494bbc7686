"""Whether `import` brings every user over, although it is killed twice: the books of both sides are compared.

`./dev bench import`: 10,000 users in Prisma's own tables; a kill among the users, one among the messages, a run to the
end, and one more.
"""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psycopg

from tools.bench import database, servers
from tools.bench.figures import Figure, at_most, compared
from tools.bench.prisma import People, fill, make_tables
from tools.bench.rig import Rig
from tools.processes import ROOT
from tools.sandbox.backboard import Sandbox

_SCHEMA = "theirs"
_SECONDS = 1800.0


def run(rig: Rig) -> Iterator[Figure]:
    url = database.populated(rig, 0)
    with Sandbox() as sandbox, psycopg.connect(url, autocommit=True) as connection:
        make_tables(connection, "camel_case", _SCHEMA)
        people = fill(connection, sandbox, _SCHEMA, rig.sizes.users, rig.sizes.seed)
        variables = servers.variables(url, sandbox.url)
        draw = random.Random(rig.sizes.seed)
        first = _killed(variables, connection, "users", round(len(people.assistants) * draw.uniform(0.2, 0.8)))
        second = _killed(variables, connection, "messages", round(people.messages * draw.uniform(0.2, 0.8)))
        third, _ = _finished(variables)
        yield from _compare(connection, sandbox, people)
        before = _everything(connection)
        again, output = _finished(variables)
        changed = before != _everything(connection) or "0 assistants got the name" not in output
        yield _wrong("changed by one more run", int(changed), 1, "a change")
        yield compared("killed, killed, to the end", "s", [first + second + third], [again], against="one more run")


def _wrong(what: str, number: int, total: int, against: str) -> Figure:
    """How many of all are not as they must be; there may be none."""
    return compared(what, "", [number], [total], against=against, bar=at_most(0))


def _compare(connection: psycopg.Connection, sandbox: Sandbox, people: People) -> Iterator[Figure]:
    """What is here beside what is there, a promise at a time."""
    there, assistants = len(people.assistants), people.assistants.items()
    rows = connection.execute("SELECT clerk_id, assistant_id FROM users").fetchall()
    users: dict[str, str] = dict(rows)
    lost = sum(users.get(clerk_id) != assistant for clerk_id, assistant in assistants) + len(rows) - there
    yield _wrong("users without their own assistant", lost, there, "users there")
    said: dict[str, list[str]] = {str(one): [] for (one,) in connection.execute("SELECT id FROM sessions")}
    for session_id, message_id in connection.execute(
        "SELECT session_id, id FROM messages ORDER BY session_id, position"
    ):
        said[str(session_id)].append(str(message_id))
    different = sum(said.get(session_id) != messages for session_id, messages in people.sessions.items())
    different += len(said) - len(people.sessions)
    yield _wrong("sessions without their messages in order", different, len(people.sessions), "sessions there")
    more = sum(map(len, said.values())) - people.messages
    yield _wrong("messages too many or too few", abs(more), people.messages, "messages there")
    miscounted = connection.execute(
        "SELECT id FROM sessions WHERE message_count IS DISTINCT FROM"
        " (SELECT count(*) FROM messages WHERE session_id = sessions.id)"
    ).fetchall()
    yield _wrong("sessions with a wrong message_count", len(miscounted), len(said), "sessions here")
    named = {one.name: one.id for one in sandbox.alive()}
    unnamed = sum(named.get(f"clerk:{clerk_id}") != assistant for clerk_id, assistant in assistants)
    yield _wrong("assistants without the name of their user", unnamed, there, "users there")
    made = len(sandbox.calls(kind="create")) + len(sandbox.calls(kind="delete"))
    yield _wrong("assistants made or deleted", made, there, "users there")
    doubts = connection.execute("SELECT clerk_id FROM provisioning_attempts").fetchall()
    yield _wrong("open doubts", len(doubts), there, "users there")


def _everything(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    """A checksum of every table that an import writes."""
    tables = ("users", "sessions", "messages", "preferences")
    return [
        connection.execute(f"SELECT count(*), sum(hashtext({table}::TEXT)) FROM {table}".encode()).fetchone() or ()
        for table in tables
    ]


def _start(variables: dict[str, str]) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "app", "import", "--from", "prisma", "--schema", _SCHEMA]
    return subprocess.Popen(
        words, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def _killed(variables: dict[str, str], connection: psycopg.Connection, table: str, enough: int) -> float:
    """Seconds until a run was killed, when the table had so many rows."""
    started = time.perf_counter()
    process = _start(variables)
    count = f"SELECT count(*) FROM {table}".encode()
    while (connection.execute(count).fetchone() or (0,))[0] < enough:
        if process.poll() is not None or time.perf_counter() - started > _SECONDS:
            process.kill()
            sys.exit(f"bench: the import ended before it had {enough} {table}")
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return time.perf_counter() - started


def _finished(variables: dict[str, str]) -> tuple[float, str]:
    """Seconds that a run to its end took, and what it printed."""
    started = time.perf_counter()
    process = _start(variables)
    output, _ = process.communicate(timeout=_SECONDS)
    if process.returncode != 0:
        sys.exit(f"bench: the import ended with {process.returncode}: {output}")
    return time.perf_counter() - started, output
