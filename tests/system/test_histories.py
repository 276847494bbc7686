"""Random histories of users: with any failure on the way, the end is that of the newest version.

A history is the events of one user, delivered as Clerk's sender would: shuffled, repeated, and again until they are
answered with a 2xx; the chat backend calls in between. HISTORIES and SEED set how many and which.
"""

import asyncio
import os
import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from app.commands.reconcile.command import run as reconcile
from app.commands.reconcile.models import GracePeriods
from tests.support.factories import Person, event, user_created, user_data, user_updated
from tests.support.service import Service, settings_of
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import status
from tools.sandbox.faults import cuts, drops, empty, resets

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]

HISTORIES = int(os.environ.get("HISTORIES", "500"))
SEED = int(os.environ.get("SEED", "20261125"))
# In parts, each with a seed of its own, so that they can run in parallel.
PARTS = 2
# More at a time would only wait for the five slots.
AT_ONCE = 40
REDELIVERIES = 200
FIRST_VERSION = 1_700_000_000_000

LOST_CREATES = [status(500, after_commit=True), drops(after_commit=True), resets(after_commit=True), cuts(), empty()]
REFUSED_CREATES = [status(422), status(500), drops()]
FAILED_DELETES = [status(500), drops(after_commit=True), status(500, after_commit=True)]


@dataclass(frozen=True)
class History:
    """The bodies in the order of their delivery, and what must stand in the end."""

    person: Person
    bodies: list[bytes]
    newest: int
    deleted: bool


def make_history(dice: random.Random, person: Person) -> History:
    """One to four versions, perhaps a deletion; each delivered once or twice, in any order."""
    newest = FIRST_VERSION + dice.randrange(4)
    bodies = [user_created(person, updated_at=FIRST_VERSION, first_name=f"Canary{FIRST_VERSION}")]
    for version in range(FIRST_VERSION + 1, newest + 1):
        body = user_updated(person, updated_at=version, first_name=f"Canary{version}")
        if dice.random() < 0.3:
            user = user_data(person, updated_at=version, first_name=f"Canary{version}")
            body = event("session.created", {"object": "session", "id": "sess_1", "user": user})
        bodies.append(body)
    deleted = dice.random() < 0.4
    if deleted:
        bodies.append(event("user.deleted", {"object": "user", "id": person.clerk_id, "deleted": True}))
    bodies += [body for body in bodies if dice.random() < 0.3]
    if dice.random() < 0.6:
        dice.shuffle(bodies)
    return History(person, bodies, newest, deleted)


def plan_faults(dice: random.Random, person: Person, backboard: Sandbox) -> None:
    is_own = person.assistant_name.__eq__
    if dice.random() < 0.25:
        backboard.next_create(dice.choice(LOST_CREATES + REFUSED_CREATES), where=is_own)
    if dice.random() < 0.1:
        backboard.next_lookup(status(500), where=is_own)
    if dice.random() < 0.2:
        backboard.next_delete(dice.choice(FAILED_DELETES), where=is_own)


async def deliver(service: Service, dice: random.Random, history: History) -> None:
    """Deliver a history; one delivery may overlap the next, and the chat backend calls in between."""
    under_way: list[asyncio.Task[None]] = []
    for body in history.bodies:
        delivery = asyncio.create_task(deliver_until_acknowledged(service, body))
        if dice.random() < 0.5:
            await delivery
        under_way.append(delivery)
        if dice.random() < 0.2:
            await service.ensure(history.person)
    await asyncio.gather(*under_way)


async def deliver_until_acknowledged(service: Service, body: bytes) -> None:
    for _ in range(REDELIVERIES):
        answer = await service.deliver(body)
        if answer.status_code == 200:
            return
        assert answer.status_code == 503, answer.text
        await asyncio.sleep(0.1)
    pytest.fail("the event was never acknowledged")


async def cut_connections(direct_url: str, dice: random.Random) -> None:
    """Now and then, end a connection of the service, at any point of its work."""
    async with await psycopg.AsyncConnection.connect(direct_url, autocommit=True) as connection:
        while True:
            await asyncio.sleep(dice.uniform(0.1, 0.4))
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity"
                " WHERE application_name = 'clerk-backboard-sync' ORDER BY random() LIMIT 1) AS one"
            )


@pytest.mark.parametrize("seed", range(SEED, SEED + PARTS))
async def test_every_history_ends_with_its_newest_version(
    service: Service, database: Database, direct_url: str, variables: dict[str, str], backboard: Sandbox, seed: int
) -> None:
    """One row with the newest profile and one assistant; for a deleted user, at most a row without profile and none."""
    dice = random.Random(seed)
    histories = [make_history(dice, Person()) for _ in range(HISTORIES // PARTS)]
    for history in histories:
        plan_faults(dice, history.person, backboard)
    cutter = asyncio.create_task(cut_connections(direct_url, dice))
    semaphore = asyncio.Semaphore(AT_ONCE)

    async def deliver_in_turn(number: int, history: History) -> None:
        async with semaphore:
            await deliver(service, random.Random(f"{seed} {number}"), history)

    try:
        await asyncio.gather(*(deliver_in_turn(number, history) for number, history in enumerate(histories)))
    finally:
        cutter.cancel()

    rows = {row["clerk_id"]: row for row in database.execute("SELECT * FROM users").fetchall()}
    tombstones = {row["clerk_id"] for row in database.execute("SELECT clerk_id FROM deleted_users").fetchall()}
    attempts = {row["clerk_id"] for row in database.execute("SELECT clerk_id FROM provisioning_attempts").fetchall()}
    wrong = [history for history in histories if not stands(history, rows, tombstones, attempts, backboard)]
    assert not wrong, f"seed {seed}: {len(wrong)} of {len(histories)}, the first of {wrong[0].person.clerk_id}"
    assert attempts, "without an attempt row, reconcile would have nothing to do"

    await reconcile_until_clean(variables)

    assert database.execute("SELECT clerk_id FROM provisioning_attempts").fetchall() == []
    wrong = [history for history in histories if not stands(history, rows, tombstones, set(), backboard)]
    assert not wrong, f"seed {seed}: after reconcile {len(wrong)}, the first of {wrong[0].person.clerk_id}"


async def reconcile_until_clean(variables: dict[str, str]) -> None:
    """Without the grace periods, which are for people; several times, since one run deletes only so many."""
    for _ in range(20):
        none = GracePeriods(timedelta(0), timedelta(0))
        report = await reconcile(settings_of(variables), all_users=False, apply=True, grace_periods=none)
        if not report.scan.findings() and not report.attempts_left:
            return
    pytest.fail("reconcile never came to an end")


def stands(
    history: History, rows: dict[str, Any], tombstones: set[str], attempts: set[str], backboard: Sandbox
) -> bool:
    """Whether the end is right; a second assistant may exist only where an attempt row remembers it."""
    clerk_id, row = history.person.clerk_id, rows.get(history.person.clerk_id)
    alive = {assistant.id for assistant in backboard.alive(history.person.assistant_name)}
    if history.deleted:
        is_cleared = row is None or (row["deleted_at"] is not None and row["email"] is None and row["name"] is None)
        return clerk_id in tombstones and is_cleared and (not alive or clerk_id in attempts)
    if row is None or row["deleted_at"] is not None or clerk_id in tombstones:
        return False
    newest = row["name"] == f"Canary{history.newest} {history.person.number}"
    return newest and row["assistant_id"] in alive and (len(alive) == 1 or clerk_id in attempts)
