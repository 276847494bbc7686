"""The grace periods of reconcile, and the limit of changes in one run."""

from datetime import UTC, datetime, timedelta

import pytest

from app.commands.reconcile import safety
from tests.commands.reconcile.drifting import (
    DEFAULT_GRACE,
    LONG_AGO,
    Database,
    Run,
    findings_of,
    make_orphan,
    record_attempt,
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
    """The rest is reported as left, and the next run does it."""
    monkeypatch.setattr(safety, "FEW_CANDIDATES", 100)
    await sign_up(service, clerk)
    for _ in range(60):
        make_orphan(database, backboard)

    first = await run()

    assert (first.scan.count("orphaned", "mended"), first.scan.count("orphaned", "left")) == (50, 10)
    assert not first.clean
    assert len(backboard.alive()) == 11
    assert (await run()).clean
    assert len(backboard.alive()) == 1


async def test_a_duplicate_is_renamed_and_deleted_after_seven_days(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """Its new name has the day in it, and no lookup finds it."""
    (person,) = await sign_up(service, clerk)
    twin = backboard.make_assistant(person.assistant_name, created_at=LONG_AGO)
    record_attempt(database, person)

    await run(grace_periods=DEFAULT_GRACE)
    assert twin.name == f"orphan:{datetime.now(UTC).date()}:{person.assistant_name}"
    waiting = await run(grace_periods=DEFAULT_GRACE)
    assert findings_of(waiting) == {("duplicate", person.clerk_id, "waiting")}
    assert waiting.clean
    assert twin in backboard.alive()
    assert database.execute("SELECT 1 FROM provisioning_attempts").fetchone()

    twin.name = f"orphan:{datetime.now(UTC).date() - timedelta(days=7)}:{person.assistant_name}"
    await run(all_users=False, grace_periods=DEFAULT_GRACE)
    assert twin not in backboard.alive()
    assert database.execute("SELECT 1 FROM provisioning_attempts").fetchone() is None


async def test_what_is_younger_than_the_min_age_is_left_alone(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """A new duplicate, a new attempt row, and a new user that Clerk does not know yet."""
    person, unknown = await sign_up(service, clerk, 2)
    clerk.remove_user(unknown.clerk_id)
    backboard.make_assistant(person.assistant_name)
    record_attempt(database, unknown, age="1 minute")
    before = state_of(database, backboard)

    report = await run(grace_periods=DEFAULT_GRACE)

    assert findings_of(report) == {
        ("duplicate", person.clerk_id, "waiting"),
        ("deleted", unknown.clerk_id, "waiting"),
    }
    assert state_of(database, backboard) == before


async def test_a_young_assistant_without_a_user_causes_no_tombstone(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """It may belong to a sign-up whose attempt row was written after the scan read those."""
    await sign_up(service, clerk)
    young, old = Person(), Person()
    backboard.make_assistant(young.assistant_name)
    backboard.make_assistant(old.assistant_name, created_at=LONG_AGO)

    report = await run(grace_periods=DEFAULT_GRACE)

    assert ("deleted", young.clerk_id, "waiting") in findings_of(report)
    assert ("deleted", old.clerk_id, "mended") in findings_of(report)
    assert [row["clerk_id"] for row in database.execute("SELECT clerk_id FROM deleted_users")] == [old.clerk_id]


async def test_an_old_attempt_row_is_deleted_and_a_young_one_is_not(
    service: Service, clerk: Clerk, database: Database, run: Run
) -> None:
    """The request of a young one may still be on its way to Backboard."""
    quiet, young = await sign_up(service, clerk, 2)
    record_attempt(database, quiet)
    record_attempt(database, young, age="59 minutes")

    report = await run(all_users=False, grace_periods=DEFAULT_GRACE)

    assert report.clean
    left = database.execute("SELECT clerk_id FROM provisioning_attempts").fetchall()
    assert [row["clerk_id"] for row in left] == [young.clerk_id]
