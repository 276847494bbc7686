"""Users that differ between Clerk, Postgres and Backboard, and what a run reports about them."""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from app.commands.reconcile.models import GracePeriods
from app.commands.reconcile.report import Report
from tests.support.factories import Person, user_created, user_data
from tests.support.service import Service
from tools.sandbox.backboard import Sandbox
from tools.sandbox.clerk import Clerk

Database = psycopg.Connection[dict[str, Any]]
Run = Callable[..., Coroutine[Any, Any, Report]]
KEY = "sk_test_canary"
NO_GRACE = GracePeriods(timedelta(0), timedelta(0))
DEFAULT_GRACE = GracePeriods(timedelta(hours=1), timedelta(days=7))
LONG_AGO = datetime.now(UTC) - timedelta(days=30)


def state_of(database: Database, backboard: Sandbox) -> Any:
    """Everything that a run could change."""
    tables = ("users", "deleted_users", "provisioning_attempts")
    rows = [database.execute(f"SELECT * FROM {table} ORDER BY clerk_id".encode()).fetchall() for table in tables]
    return rows, sorted((one.id, one.name) for one in backboard.alive())


def add_to_clerk(clerk: Clerk, person: Person, **changed: Any) -> None:
    """Add the user to Clerk, with the data that the events carry."""
    clerk.add_user(person.clerk_id, **user_data(person, **changed))


def findings_of(report: Report) -> set[tuple[str, str, str]]:
    return {(finding.kind, finding.clerk_id, finding.state) for finding in report.scan.findings()}


def record_attempt(database: Database, person: Person, *, tries: int = 2, age: str = "2 hours") -> None:
    database.execute(
        "INSERT INTO provisioning_attempts (clerk_id, tries, first_at, last_at)"
        " VALUES (%s, %s, now() - %s::interval, now() - %s::interval)",
        [person.clerk_id, tries, age, age],
    )


def mark_deleted(database: Database, person: Person) -> None:
    """A tombstone, as user.deleted left it an hour ago."""
    database.execute(
        "INSERT INTO deleted_users (clerk_id, deleted_at) VALUES (%s, now() - interval '1 hour')", [person.clerk_id]
    )


def make_orphan(database: Database, backboard: Sandbox, **changed: Any) -> Person:
    """A deleted user that still has an assistant."""
    person = Person()
    mark_deleted(database, person)
    backboard.make_assistant(person.assistant_name, **changed)
    return person


async def sign_up(service: Service, clerk: Clerk, number: int = 1) -> list[Person]:
    """Users without any difference."""
    people = [Person() for _ in range(number)]
    for person in people:
        add_to_clerk(clerk, person)
        assert (await service.deliver(user_created(person))).status_code == 200
    return people


async def make_drift(service: Service, clerk: Clerk, database: Database, backboard: Sandbox) -> dict[str, Person]:
    """One user for each kind of finding, beside three without any."""
    await sign_up(service, clerk, 3)
    stale, deleted, duplicate = await sign_up(service, clerk, 3)
    missing, orphaned = Person(), make_orphan(database, backboard)
    add_to_clerk(clerk, missing)
    add_to_clerk(clerk, stale, updated_at=1_700_000_000_500, first_name="Canarynew")
    clerk.remove_user(deleted.clerk_id)
    backboard.make_assistant(duplicate.assistant_name)
    return {"missing": missing, "stale": stale, "deleted": deleted, "duplicate": duplicate, "orphaned": orphaned}
