"""Random histories of two chat backends whose answers get lost: every message stands once, whole and in order."""

import asyncio
import os
import random
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
import pytest

from app.application import create_app
from tests.support.factories import Person
from tests.support.service import Chat, Service, in_process, settings_of

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]
Json = dict[str, Any]

SEED = int(os.environ.get("SEED", "20261127"))
SESSIONS = int(os.environ.get("HISTORIES", "6"))
APPENDS = 8
REPETITIONS = 50
# Messages that are stored with others', by themselves, and, several at a time, on another connection.
LENGTHS = (10, 10, 10, 9_000, 20_000)


@dataclass
class Writer:
    """One chat backend in one session: it sends its appends one after the other, to either process."""

    dice: random.Random
    processes: list[Chat]
    path: str
    # What each append was answered in the end, in their order.
    answered: list[list[Json]] = field(default_factory=list)

    async def write(self) -> None:
        for number in range(APPENDS):
            texts = [f"{number} {place} " for place in range(self.dice.choice((1, 1, 2, 4)))]
            length = self.dice.choice(LENGTHS)
            append = [{"id": str(self._new_id()), "role": "user", "content": text + "x" * length} for text in texts]
            await self._send_until_answered(append)

    async def _send_until_answered(self, append: list[Json]) -> None:
        """Now and then twice at once, or without waiting for the answer; then once more, perhaps a part of it first."""
        known: dict[str, Json] = {}
        for _ in range(REPETITIONS):
            way = self.dice.random()
            sent = append[: self.dice.randrange(1, len(append) + 1)] if way < 0.2 else append
            sendings = [asyncio.create_task(self._send(sent)) for _ in range(2 if way > 0.7 else 1)]
            if self.dice.random() < 0.4:
                await asyncio.sleep(self.dice.uniform(0, 0.01))
                sendings[0].cancel()
            for answer in await asyncio.gather(*sendings, return_exceptions=True):
                if isinstance(answer, asyncio.CancelledError):
                    continue
                assert not isinstance(answer, BaseException), answer
                for message in answer:
                    assert known.setdefault(message["id"], message) == message
            if len(known) == len(append) and self.dice.random() < 0.7:
                self.answered.append([known[message["id"]] for message in append])
                return
        pytest.fail("an append was never answered")

    async def _send(self, messages: list[Json]) -> list[Json]:
        answer = await self.dice.choice(self.processes).post(f"{self.path}/batch", {"messages": messages})
        assert answer.status_code in (201, 503), answer.text
        stored: list[Json] = answer.json()["messages"] if answer.status_code == 201 else []
        return stored

    def _new_id(self) -> UUID:
        return UUID(int=self.dice.getrandbits(128))


async def cut_connections(direct_url: str, dice: random.Random) -> None:
    """Now and then, end a connection of the service, at any point of its work."""
    async with await psycopg.AsyncConnection.connect(direct_url, autocommit=True) as connection:
        while True:
            await asyncio.sleep(dice.uniform(0.05, 0.2))
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity"
                " WHERE application_name = 'clerk-backboard-sync' ORDER BY random() LIMIT 1) AS one"
            )


@pytest.mark.ways("direct")
async def test_every_message_stands_once_and_in_order(
    service: Service, variables: dict[str, str], direct_url: str, database: Database
) -> None:
    """As it was answered, every time; behind all that its backend was answered before; and counted once."""
    async with in_process(create_app(settings_of(variables))) as second:
        processes = [Chat(service.client), Chat(second.client)]
        sessions = [(await processes[0].open(Person())).json() for _ in range(SESSIONS)]
        writers = [
            Writer(random.Random(f"{SEED} {number} {backend}"), processes, f"/sessions/{session['id']}/messages")
            for number, session in enumerate(sessions)
            for backend in "ab"
        ]
        cutter = asyncio.create_task(cut_connections(direct_url, random.Random(SEED)))
        try:
            await asyncio.gather(*(writer.write() for writer in writers))
        finally:
            cutter.cancel()

        stored: dict[str, list[str]] = {}
        for row in database.execute("SELECT id, session_id FROM messages ORDER BY position").fetchall():
            stored.setdefault(str(row["session_id"]), []).append(str(row["id"]))
        for writer in writers:
            session_id = writer.path.split("/")[2]
            own = [message["id"] for answer in writer.answered for message in answer]
            theirs = set(own)
            assert [message_id for message_id in stored[session_id] if message_id in theirs] == own
        sent = sum(len(answer) for writer in writers for answer in writer.answered)
        assert sum(map(len, stored.values())) == sent
        for session in sessions:
            found = (await processes[0].get(f"/sessions/{session['id']}")).json()
            assert found["message_count"] == len(stored[session["id"]])
