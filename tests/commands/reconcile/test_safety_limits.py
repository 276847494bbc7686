"""What reconcile refuses to believe, and that it changes nothing then."""

from typing import Any

import pytest

from app.commands.reconcile.models import NoClerkKey, UnsafeToProceed
from app.http import client
from tests.commands.reconcile.drifting import LONG_AGO, Database, Run, found, know, make_a_mess, note, sign_up, state_of
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
    """None of our assistants is there, and somebody else's are."""
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
    know(clerk, Person())


async def listing_incomplete(service: Service, clerk: Clerk, _: Database, __: Sandbox) -> None:
    deleted, _stays = await sign_up(service, clerk, 2)
    clerk.remove_user(deleted.clerk_id)
    clerk.switches.uncounted = 1


async def clerk_page_fails(service: Service, clerk: Clerk, database: Database, backboard: Sandbox) -> None:
    await make_a_mess(service, clerk, database, backboard)
    clerk.always("list", refuses(500))


async def backboard_page_fails(service: Service, clerk: Clerk, database: Database, backboard: Sandbox) -> None:
    await make_a_mess(service, clerk, database, backboard)
    backboard.always("list", status(500))


RAILS = [
    (no_rows, "users is empty"),
    (other_account, "BACKBOARD_API_KEY"),
    (some_assistants_lost, "BACKBOARD_API_KEY"),
    (many_candidates, "no accident"),
    (other_instance, "2 of 2 users are not in Clerk's listing"),
    (listing_incomplete, "Clerk counts 2"),
    (clerk_page_fails, "clerk_error"),
    (backboard_page_fails, "backboard_error"),
]


@pytest.mark.parametrize(("prepare", "reason"), RAILS, ids=lambda value: getattr(value, "__name__", ""))
async def test_what_could_do_harm_is_refused_and_nothing_is_changed(
    service: Service,
    clerk: Clerk,
    database: Database,
    backboard: Sandbox,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Any,
    reason: str,
) -> None:
    """With and without --apply, and with a sentence that names the cause."""
    monkeypatch.setattr(client, "PAUSES", (0.0, 0.0))
    await prepare(service, clerk, database, backboard)
    before, asked = state_of(database, backboard), len(backboard.calls())

    for apply in (False, True):
        with pytest.raises(UnsafeToProceed, match=reason):
            await run(apply=apply)

    assert state_of(database, backboard) == before
    assert {call.method for call in backboard.calls()[asked:]} <= {"GET"}


@pytest.mark.parametrize("prepare", [no_rows, other_account, some_assistants_lost, many_candidates])
async def test_the_rails_stand_beside_the_attempt_rows_too(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run, prepare: Any
) -> None:
    """Without --all the same wrong key or database is noticed before a doubt is settled."""
    await prepare(service, clerk, database, backboard)
    for row in database.execute("SELECT clerk_id FROM users").fetchall():
        database.execute("INSERT INTO provisioning_attempts (clerk_id, tries) VALUES (%s, 2)", [row["clerk_id"]])
    before = state_of(database, backboard)

    with pytest.raises(UnsafeToProceed):
        await run(everybody=False)

    assert state_of(database, backboard) == before


async def test_an_unknown_schema_is_refused(service: Service, database: Database, run: Run) -> None:
    """A newer release may keep what this one would take away."""
    del service
    database.execute("INSERT INTO schema_migrations (version) VALUES ('9999')")
    try:
        with pytest.raises(UnsafeToProceed, match="the schema is 9999"):
            await run()
    finally:
        database.execute("DELETE FROM schema_migrations WHERE version = '9999'")


async def test_another_instances_key_gives_nobody_a_tombstone(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """An attempt row of somebody whom this Clerk does not know, as it knows none of us."""
    for person in await sign_up(service, clerk, 2):
        clerk.remove_user(person.clerk_id)
    note(database, Person())
    before = state_of(database, backboard)

    with pytest.raises(UnsafeToProceed, match="CLERK_SECRET_KEY"):
        await run(everybody=False)

    assert state_of(database, backboard) == before


async def test_only_clerk_decides_about_a_user_without_row_and_tombstone(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """Without its key nothing is done; without --all and such users, the key is not needed."""
    (person,) = await sign_up(service, clerk)
    backboard.make_assistant(person.assistant_name)
    note(database, person)

    with pytest.raises(NoClerkKey):
        await run(without="CLERK_SECRET_KEY")
    mended = await run(everybody=False, without="CLERK_SECRET_KEY")
    assert found(mended) == {("duplicate", person.clerk_id, "mended")}

    note(database, Person())
    before = state_of(database, backboard)
    with pytest.raises(NoClerkKey):
        await run(everybody=False, without="CLERK_SECRET_KEY")
    assert state_of(database, backboard) == before


async def test_one_bad_answer_of_either_partner_does_not_end_a_run(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """What only reads is asked again, and a partner that wants to be left alone for a while is."""
    mess = await make_a_mess(service, clerk, database, backboard)
    clerk.next("list", cuts())
    clerk.next("count", refuses(500))
    clerk.next("user", refuses(500))
    clerk.throttle("user", 1)
    backboard.next("list", status(429, retry_after="1"), drops())

    report = await run(apply=False)

    assert found(report) == {(kind, person.clerk_id, "found") for kind, person in mess.items()}


async def test_a_user_whose_id_cannot_be_used_is_passed_over(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """There is neither a row nor an assistant of theirs, and everybody else's drift is found."""
    mess = await make_a_mess(service, clerk, database, backboard)
    clerk.add_user("user_canary:1")

    report = await run(apply=False)

    assert found(report) == {(kind, person.clerk_id, "found") for kind, person in mess.items()}
