"""The sources that reconcile refuses to trust; a refused run changes nothing."""

from typing import Any

import pytest

from app.commands.reconcile.models import NoClerkKey, UnsafeToProceed
from app.http import client
from tests.commands.reconcile.drifting import (
    LONG_AGO,
    Database,
    Run,
    add_to_clerk,
    findings_of,
    make_drift,
    record_attempt,
    sign_up,
    state_of,
)
from tests.support.factories import Person
from tests.support.service import Service
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import status
from tools.sandbox.clerk import Clerk, refuses
from tools.sandbox.faults import cuts, drops

pytestmark = pytest.mark.anyio


async def no_rows(service: Service, clerk: Clerk, database: Database, _: Sandbox) -> None:
    await sign_up(service, clerk)
    database.execute("DELETE FROM users")


async def other_account(service: Service, clerk: Clerk, _: Database, backboard: Sandbox) -> None:
    """None of our assistants is there, but those of another database are."""
    await sign_up(service, clerk, 2)
    for assistant in backboard.alive():
        backboard.delete_assistant(assistant.id)
    backboard.make_assistant(Person().assistant_name)


async def some_assistants_lost(service: Service, clerk: Clerk, _: Database, backboard: Sandbox) -> None:
    await sign_up(service, clerk, 5)
    for assistant in backboard.alive()[:3]:
        backboard.delete_assistant(assistant.id)


async def many_candidates(service: Service, clerk: Clerk, _: Database, backboard: Sandbox) -> None:
    (person,) = await sign_up(service, clerk)
    for _number in range(21):
        backboard.make_assistant(person.assistant_name, created_at=LONG_AGO)


async def other_instance(service: Service, clerk: Clerk, _: Database, __: Sandbox) -> None:
    people = await sign_up(service, clerk, 2)
    for person in people:
        clerk.remove_user(person.clerk_id)
    add_to_clerk(clerk, Person())


async def listing_incomplete(service: Service, clerk: Clerk, _: Database, __: Sandbox) -> None:
    deleted, _stays = await sign_up(service, clerk, 2)
    clerk.remove_user(deleted.clerk_id)
    clerk.switches.uncounted = 1


async def clerk_page_fails(service: Service, clerk: Clerk, database: Database, backboard: Sandbox) -> None:
    await make_drift(service, clerk, database, backboard)
    clerk.always("list", refuses(500))


async def backboard_page_fails(service: Service, clerk: Clerk, database: Database, backboard: Sandbox) -> None:
    await make_drift(service, clerk, database, backboard)
    backboard.always("list", status(500))


UNSAFE = [
    (no_rows, "users is empty"),
    (other_account, "BACKBOARD_API_KEY"),
    (some_assistants_lost, "BACKBOARD_API_KEY"),
    (many_candidates, "no accident"),
    (other_instance, "2 of 2 users are not in Clerk's listing"),
    (listing_incomplete, "Clerk counts 2"),
    (clerk_page_fails, "clerk_error"),
    (backboard_page_fails, "backboard_error"),
]


@pytest.mark.parametrize(("prepare", "reason"), UNSAFE, ids=lambda value: getattr(value, "__name__", ""))
async def test_an_unsafe_run_is_refused_and_changes_nothing(
    service: Service,
    clerk: Clerk,
    database: Database,
    backboard: Sandbox,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Any,
    reason: str,
) -> None:
    """With and without --apply; the sentence names the cause."""
    monkeypatch.setattr(client, "PAUSES", (0.0, 0.0))
    await prepare(service, clerk, database, backboard)
    before, asked = state_of(database, backboard), len(backboard.calls())

    for apply in (False, True):
        with pytest.raises(UnsafeToProceed, match=reason):
            await run(apply=apply)

    assert state_of(database, backboard) == before
    assert {call.method for call in backboard.calls()[asked:]} <= {"GET"}


@pytest.mark.parametrize("prepare", [no_rows, other_account, some_assistants_lost, many_candidates])
async def test_an_unsafe_run_is_refused_without_all_users_too(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run, prepare: Any
) -> None:
    """A wrong key or database is noticed before an attempt is resolved."""
    await prepare(service, clerk, database, backboard)
    for row in database.execute("SELECT clerk_id FROM users").fetchall():
        database.execute("INSERT INTO provisioning_attempts (clerk_id, tries) VALUES (%s, 2)", [row["clerk_id"]])
    before = state_of(database, backboard)

    with pytest.raises(UnsafeToProceed):
        await run(all_users=False)

    assert state_of(database, backboard) == before


async def test_an_unknown_schema_is_refused(service: Service, database: Database, run: Run) -> None:
    """A newer release may need what this one would delete."""
    del service
    database.execute("INSERT INTO clerk_backboard_migrations (version) VALUES ('9999')")
    try:
        with pytest.raises(UnsafeToProceed, match="the schema is 9999"):
            await run()
    finally:
        database.execute("DELETE FROM clerk_backboard_migrations WHERE version = '9999'")


async def test_the_key_of_another_instance_causes_no_tombstone(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """An attempt row of a user that this Clerk does not know, as it knows none of ours."""
    for person in await sign_up(service, clerk, 2):
        clerk.remove_user(person.clerk_id)
    record_attempt(database, Person())
    before = state_of(database, backboard)

    with pytest.raises(UnsafeToProceed, match="CLERK_SECRET_KEY"):
        await run(all_users=False)

    assert state_of(database, backboard) == before


async def test_only_clerk_decides_about_a_user_without_a_row_and_a_tombstone(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """Without its key nothing is done; without such users and without --all, the key is not needed."""
    (person,) = await sign_up(service, clerk)
    backboard.make_assistant(person.assistant_name)
    record_attempt(database, person)

    with pytest.raises(NoClerkKey):
        await run(without="CLERK_SECRET_KEY")
    mended = await run(all_users=False, without="CLERK_SECRET_KEY")
    assert findings_of(mended) == {("duplicate", person.clerk_id, "mended")}

    record_attempt(database, Person())
    before = state_of(database, backboard)
    with pytest.raises(NoClerkKey):
        await run(all_users=False, without="CLERK_SECRET_KEY")
    assert state_of(database, backboard) == before


async def test_one_failed_read_of_clerk_or_backboard_does_not_end_a_run(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """Reads are repeated, after the Retry-After where there is one."""
    drift = await make_drift(service, clerk, database, backboard)
    clerk.next("list", cuts())
    clerk.next("count", refuses(500))
    clerk.next("user", refuses(500))
    clerk.throttle("user", 1)
    backboard.next("list", status(429, retry_after="1"), drops())

    report = await run(apply=False)

    assert findings_of(report) == {(kind, person.clerk_id, "found") for kind, person in drift.items()}


async def test_a_user_with_an_unusable_id_is_skipped(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """The user has neither a row nor an assistant, and the drift of all others is found."""
    drift = await make_drift(service, clerk, database, backboard)
    clerk.add_user("user_canary:1")

    report = await run(apply=False)

    assert findings_of(report) == {(kind, person.clerk_id, "found") for kind, person in drift.items()}
