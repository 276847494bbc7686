"""Other programs' tables, as Prisma's migration makes them, and people in them.

Each .sql is what `prisma migrate diff --from-empty --to-schema NAME.prisma --script` of Prisma 7.10 writes.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.types.json import Json

from tools.sandbox.backboard import Sandbox

FOLDER = Path(__file__).parent
# Prisma's DateTime is in UTC and has no zone.
_BEGAN = datetime(2026, 1, 1)  # noqa: DTZ001  # As above.
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

Connection = psycopg.Connection[Any]


@dataclass(slots=True)
class People:
    """What was filled in: assistants by Clerk id, and what was said in each session, in its order."""

    assistants: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, list[str]] = field(default_factory=dict)

    @property
    def messages(self) -> int:
        return sum(map(len, self.sessions.values()))


def make_tables(connection: Connection, name: str, schema: str) -> None:
    """Apply a migration of Prisma's in a schema of its own."""
    ddl = (FOLDER / f"{name}.sql").read_text().replace('"public"', f'"{schema}"')
    with connection.transaction():
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        connection.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(schema)))
        connection.execute(ddl.encode())


def fill(connection: Connection, backboard: Sandbox, schema: str, users: int, seed: int) -> People:
    """Fill the tables of camel_case: 0 to 4 sessions for a user, 0 to 20 messages in a session, some at one time."""
    draw = random.Random(seed)
    people = People()
    rows: dict[str, list[Sequence[Any]]] = {"User": [], "Session": [], "Message": []}
    for number in range(users):
        clerk_id = "user_" + "".join(draw.choices(_LETTERS, k=27))
        assistant = backboard.make_assistant(f"Travel companion {number}")
        people.assistants[clerk_id] = assistant.id
        created_at = _BEGAN + timedelta(minutes=number)
        preferences = Json({"theme": "dark", "number": number}) if number % 3 == 0 else None
        user_id = _uuid(draw)
        email = f"canary.{seed}.{number}@example.com"
        rows["User"].append((user_id, clerk_id, assistant.id, email, "Canary", preferences, created_at, created_at))
        for _ in range(draw.randrange(5)):
            thread = backboard.make_thread(assistant.id)
            session_id, rows_of = _draw_session(draw, user_id, thread.id, created_at)
            people.sessions[session_id] = [row[0] for row in rows_of["Message"]]
            for table, values in rows_of.items():
                rows[table] += values
    # As rows come to lie after years: in any order.
    draw.shuffle(rows["Message"])
    for table, values in rows.items():
        _copy(connection, schema, table, values)
    return people


def _draw_session(
    draw: random.Random, user_id: str, thread_id: str, created_at: datetime
) -> tuple[str, dict[str, list[Sequence[Any]]]]:
    """A session's id, and its rows by table; the messages in their order."""
    session_id = _uuid(draw)
    status = draw.choice(("ACTIVE", "COMPLETED", "ABANDONED"))
    ended_at = None if status == "ACTIVE" else created_at + timedelta(days=2)
    title = draw.choice((None, "Lisbon by train", "Zürich, 東京 und zurück"))
    session = (session_id, user_id, thread_id, title, status, created_at, created_at, ended_at)
    said = sorted((created_at + timedelta(seconds=draw.randrange(10)), _uuid(draw)) for _ in range(draw.randrange(21)))
    messages: list[Sequence[Any]] = []
    for at, message_id in said:
        metadata = Json({"tokens": draw.randrange(100)}) if draw.random() < 0.5 else None
        role = draw.choice(("USER", "ASSISTANT"))
        messages.append((message_id, session_id, role, f"said {message_id}", metadata, at))
    return session_id, {"Session": [session], "Message": messages}


def _uuid(draw: random.Random) -> str:
    return str(UUID(int=draw.getrandbits(128), version=4))


def _copy(connection: Connection, schema: str, table: str, rows: list[Sequence[Any]]) -> None:
    name = sql.Identifier(schema, table)
    with connection.cursor() as cursor, cursor.copy(sql.SQL("COPY {} FROM STDIN").format(name)) as copy:
        for row in rows:
            copy.write_row(row)
