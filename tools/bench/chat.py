"""What the chat's routes cost with large tables: append, history, search, one request after another.

Each figure stands beside two of the same run: the same statement in a plain psycopg loop, and the bare app, which is
/healthz of the same server through the same client. Their sum is the least that a request could cost.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from statistics import median
from typing import Any
from uuid import UUID

import psycopg

from app.chat.models import Append, HistoryRequest, NewMessage, SessionsRequest
from app.chat.repository import PAGE_BYTES, MessageRepository, SessionRepository
from app.deadline import Deadline
from app.postgres.pipeline import Statement
from app.postgres.queries import Queries
from tools.bench import database, servers
from tools.bench.figures import Figure, compared
from tools.bench.rig import Rig
from tools.sandbox.backboard import Sandbox

PAGE = 50
CLERK_ID = "user_bench"

# Sentences of made-up words, since a search index has little to do with random letters.
FILL = """
INSERT INTO messages (session_id, role, content)
SELECT
    %(session_id)s, CASE number %% 2 WHEN 0 THEN 'user' ELSE 'assistant' END,
    (SELECT string_agg(substr('lisbontramriverhotelmuseumticketwalkdinner', 1 + (number * place) %% 36, 6), ' ')
     FROM generate_series(1, 12) AS place) || ' ' || number
FROM generate_series(1, %(count)s) AS number
"""
INDEX = "CREATE INDEX messages_content_trgm_idx ON messages USING gin (content gin_trgm_ops)"


@dataclass(frozen=True)
class Case:
    """A request, and the statement that it sends."""

    what: str
    method: str
    path: str
    body: dict[str, Any] | None
    statement: Statement


def run(rig: Rig) -> Iterator[Figure]:
    url = database.populated(rig, 0)
    with (
        Sandbox() as sandbox,
        servers.started(servers.OURS, servers.variables(url, sandbox.url), rig.cores.server) as server,
        psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection,
        closing(HTTPConnection("127.0.0.1", server.port, timeout=20)) as client,
    ):
        for case in _fill(client, connection, rig.sizes.messages):
            yield from _figures(case, client, connection, rig.sizes.asked)


def _fill(client: HTTPConnection, connection: psycopg.Connection[Any], messages: int) -> list[Case]:
    """A short session, a long one with a tenth of everything, and the rest in sessions of a thousand."""
    short, long = (_open(client) for _ in range(2))
    connection.execute(b"DROP INDEX messages_content_trgm_idx")
    connection.execute(FILL.encode(), {"session_id": short["id"], "count": 100})
    connection.execute(FILL.encode(), {"session_id": long["id"], "count": messages // 10})
    for start in range(0, messages - messages // 10 - 100, 1000):
        other = _open(client)["id"]
        count = min(1000, messages - messages // 10 - 100 - start)
        connection.execute(FILL.encode(), {"session_id": other, "count": count})
    connection.execute(INDEX.encode())
    connection.execute(b"VACUUM ANALYZE messages, sessions")
    queries = Queries.load()
    said, sessions = MessageRepository(queries), SessionRepository(queries)
    ((user_id,),) = connection.execute(b"SELECT id FROM users").fetchall()
    return [
        *(_history(name, session, said) for name, session in (("short", short), ("long", long))),
        *(_append(name, session, said) for name, session in (("short", short), ("long", long))),
        Case(
            "search", "GET", f"/users/{CLERK_ID}/sessions?q=%20{messages // 10}&limit={PAGE}", None,
            sessions.search(user_id, f" {messages // 10}", SessionsRequest(CLERK_ID, None, PAGE + 1)),
        ),
        Case(
            "sessions", "GET", f"/users/{CLERK_ID}/sessions?limit={PAGE}", None,
            sessions.list([SessionsRequest(CLERK_ID, None, PAGE + 1)]),
        ),
    ]  # fmt: skip


def _history(name: str, session: dict[str, str], said: MessageRepository) -> Case:
    statement = said.list([HistoryRequest(UUID(session["id"]), None, None, PAGE, Deadline())], page_bytes=PAGE_BYTES)
    return Case(f"history, {name} session", "GET", f"/sessions/{session['id']}/messages?limit={PAGE}", None, statement)


def _append(name: str, session: dict[str, str], said: MessageRepository) -> Case:
    words = "I have three days and I like walking."
    statement = said.insert([Append(UUID(session["id"]), None, [NewMessage("user", words)], Deadline())])
    path, body = f"/sessions/{session['id']}/messages", {"role": "user", "content": words}
    return Case(f"append, {name} session", "POST", path, body, statement)


def _figures(case: Case, client: HTTPConnection, connection: psycopg.Connection[Any], count: int) -> Iterator[Figure]:
    text, values = case.statement
    answer = _median(count, lambda: _ask(client, case.method, case.path, case.body))
    statement = _median(count, lambda: connection.execute(text, values).fetchall())
    bare = _median(count, lambda: _ask(client, "GET", "/healthz"))
    yield compared(case.what, "ms", [answer], [statement], against="its statement alone")
    yield compared("  beside the bare app as well", "ms", [answer], [statement + bare], against="statement + /healthz")


def _median(rounds: int, work: Callable[[], object]) -> float:
    """Milliseconds."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    return median(times)


def _open(client: HTTPConnection) -> dict[str, str]:
    session: dict[str, str] = json.loads(_ask(client, "POST", f"/users/{CLERK_ID}/sessions", {}))
    return session


def _ask(client: HTTPConnection, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
    headers = {"Authorization": f"Bearer {servers.TOKEN}", "Content-Type": "application/json"}
    client.request(method, path, None if body is None else json.dumps(body), headers)
    response = client.getresponse()
    answer = response.read()
    if response.status not in (200, 201):
        sys.exit(f"bench: {path} answered {response.status} {answer.decode(errors='replace')}")
    return answer
