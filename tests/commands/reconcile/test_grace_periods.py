"""What reconcile does only in its time, and how much at a time."""

from datetime import UTC, datetime, timedelta

import pytest

from app.commands.reconcile import models
from tests.commands.reconcile.drifting import (
    LONG_AGO,
    USUAL,
    Database,
    Run,
    found,
    mark_deleted,
    note,
    sign_up,
    state_of,
)
from tests.support.factories import Person
from tests.support.service import Service
from tools.sandbox.backboard import Sandbox
from tools.sandbox.clerk import Clerk

pytestmark = pytest.mark.anyio


async def test_a_run_makes_at_most_fifty_changes(
    service: Service,
    clerk: Clerk,
    database: Database,
    backboard: Sandbox,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rest is left, said so, and done by the runs after it."""
    monkeypatch.setattr(models, "FEW_CANDIDATES", 100)
    await sign_up(service, clerk)
    for _ in range(60):
        gone = Person()
        mark_deleted(database, gone)
        backboard.make_assistant(gone.assistant_name)

    first = await run()

    assert (first.survey.count("orphaned", "mended"), first.survey.count("orphaned", "left")) == (50, 10)
    assert not first.clean
    assert len(backboard.alive()) == 11
    assert (await run()).clean
    assert len(backboard.alive()) == 1


async def test_a_duplicate_is_put_aside_and_deleted_after_its_days(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """Renamed with the day, so that no lookup finds it; not deleted on that day, and on the eighth it is."""
    (person,) = await sign_up(service, clerk)
    twin = backboard.make_assistant(person.assistant_name, created_at=LONG_AGO)
    note(database, person)

    await run(waits=USUAL)
    assert twin.name == f"orphan:{datetime.now(UTC).date()}:{person.assistant_name}"
    waiting = await run(waits=USUAL)
    assert found(waiting) == {("duplicate", person.clerk_id, "waiting")}
    assert waiting.clean
    assert twin in backboard.alive()
    assert database.execute("SELECT 1 FROM provisioning_attempts").fetchone()

    twin.name = f"orphan:{datetime.now(UTC).date() - timedelta(days=7)}:{person.assistant_name}"
    await run(everybody=False, waits=USUAL)
    assert twin not in backboard.alive()
    assert database.execute("SELECT 1 FROM provisioning_attempts").fetchone() is None


async def test_what_is_young_is_left_alone(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """A twin of this minute, a note of this minute, a user that Clerk does not know yet."""
    person, unknown = await sign_up(service, clerk, 2)
    clerk.remove_user(unknown.clerk_id)
    backboard.make_assistant(person.assistant_name)
    note(database, unknown, age="1 minute")
    before = state_of(database, backboard)

    report = await run(waits=USUAL)

    assert found(report) == {
        ("duplicate", person.clerk_id, "waiting"),
        ("deleted", unknown.clerk_id, "waiting"),
    }
    assert state_of(database, backboard) == before


async def test_an_assistant_of_this_minute_gives_nobody_a_tombstone(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """A sign-up may be under way whose note was not there yet when the notes were read."""
    await sign_up(service, clerk)
    young, old = Person(), Person()
    backboard.make_assistant(young.assistant_name)
    backboard.make_assistant(old.assistant_name, created_at=LONG_AGO)

    report = await run(waits=USUAL)

    assert ("deleted", young.clerk_id, "waiting") in found(report)
    assert ("deleted", old.clerk_id, "mended") in found(report)
    assert [row["clerk_id"] for row in database.execute("SELECT clerk_id FROM deleted_users")] == [old.clerk_id]


async def test_a_quiet_note_is_forgotten_and_a_young_one_is_not(
    service: Service, clerk: Clerk, database: Database, run: Run
) -> None:
    """What a young one remembers may still be on its way to Backboard."""
    quiet, young = await sign_up(service, clerk, 2)
    note(database, quiet)
    note(database, young, age="59 minutes")

    report = await run(everybody=False, waits=USUAL)

    assert report.clean
    left = database.execute("SELECT clerk_id FROM provisioning_attempts").fetchall()
    assert [row["clerk_id"] for row in left] == [young.clerk_id]
