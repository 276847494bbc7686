"""What reconcile finds and mends, and that it never takes what somebody has."""

import pytest

from app.commands.reconcile import readers
from tests.commands.reconcile.drifting import (
    LONG_AGO,
    Database,
    Run,
    found,
    know,
    make_a_mess,
    mark_deleted,
    note,
    sign_up,
    state_of,
)
from tests.support.factories import Person, event
from tests.support.service import Service
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import status
from tools.sandbox.clerk import Clerk

pytestmark = pytest.mark.anyio


async def test_without_apply_everything_is_found_and_nothing_is_changed(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """One finding of each kind; Backboard is only read."""
    mess = await make_a_mess(service, clerk, database, backboard)
    before, asked = state_of(database, backboard), len(backboard.calls())

    report = await run(apply=False)

    assert found(report) == {(kind, person.clerk_id, "found") for kind, person in mess.items()}
    assert not report.clean
    assert state_of(database, backboard) == before
    assert {call.method for call in backboard.calls()[asked:]} == {"GET"}


async def test_apply_mends_every_kind_and_the_second_run_finds_nothing(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """The duplicate is put aside by the first run and gone after the second; the others are done at once."""
    mess = await make_a_mess(service, clerk, database, backboard)

    first = await run()

    assert found(first) == {(kind, person.clerk_id, "mended") for kind, person in mess.items()}
    assert first.clean
    assert len(backboard.alive(mess["duplicate"].assistant_name)) == 1
    await run()
    third = await run()
    assert found(third) == set()
    live = database.execute("SELECT clerk_id, assistant_id, name FROM users WHERE deleted_at IS NULL").fetchall()
    assert {row["clerk_id"] for row in live} == set(clerk.users)
    assert {row["assistant_id"] for row in live} == {one.id for one in backboard.alive()}
    assert next(row["name"] for row in live if row["clerk_id"] == mess["stale"].clerk_id).startswith("Canarynew")


async def test_only_names_that_are_exactly_ours_are_candidates(
    service: Service, clerk: Clerk, backboard: Sandbox, run: Run
) -> None:
    """Whatever else begins like ours is counted and stays, and nobody else's is even counted."""
    (person,) = await sign_up(service, clerk)
    for name in (
        f"{person.assistant_name} ",
        f"{person.assistant_name}\n",
        f"clerk:dev:{person.clerk_id}",
        "clerk:user_",
        "clerk:user_ä",
        f"clerk:user_{'x' * 65}",
        f"orphan:2026-13-01:{person.assistant_name}",
        f"orphan:{person.assistant_name}",
        "Support",
    ):
        backboard.make_assistant(name, created_at=LONG_AGO)
    before = backboard.alive()

    report = await run()

    assert backboard.alive() == before
    assert (report.survey.matching, report.survey.strange) == (1, 6)


async def test_an_assistant_that_a_row_holds_is_never_taken(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """Somebody renamed one user's assistant to another's name: it is not the other's twin."""
    one, other = await sign_up(service, clerk, 2)
    theirs = backboard.alive(other.assistant_name)[0]
    theirs.name = one.assistant_name

    report = await run()

    assert found(report) == set()
    assert theirs in backboard.alive(one.assistant_name)
    note(database, one)
    await run(everybody=False)
    assert theirs in backboard.alive(one.assistant_name)


async def test_without_the_rows_own_assistant_its_twin_is_kept(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """The twin may be all that is left of the user, so a person has to look."""
    person, *_ = await sign_up(service, clerk, 3)
    own = backboard.alive(person.assistant_name)[0]
    twin = backboard.make_assistant(person.assistant_name, created_at=LONG_AGO)
    backboard.delete_assistant(own.id)
    note(database, person)

    report = await run()

    assert found(report) == {("missing", person.clerk_id, "left"), ("duplicate", person.clerk_id, "left")}
    assert backboard.alive(person.assistant_name) == [twin]
    assert database.execute("SELECT 1 FROM provisioning_attempts").fetchone()


async def test_lost_rows_come_back_with_their_assistants(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """After a restore from a backup the assistants are adopted, although no note tells of them."""
    lost, _stays = await sign_up(service, clerk, 2)
    (assistant,) = backboard.alive(lost.assistant_name)
    database.execute("DELETE FROM users WHERE clerk_id = %s", [lost.clerk_id])

    await run()

    row = database.execute("SELECT assistant_id FROM users WHERE clerk_id = %s", [lost.clerk_id]).fetchone()
    assert row == {"assistant_id": assistant.id}
    assert len(backboard.made(lost.assistant_name)) == 1


async def test_beyond_a_cut_listing_no_orphan_is_taken_and_doubts_are_settled_by_name(
    service: Service,
    clerk: Clerk,
    database: Database,
    backboard: Sandbox,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who is not in sight is asked for by name; what nobody asks for stays."""
    monkeypatch.setattr(readers, "LAST_SKIP", 0)
    person, *_ = await sign_up(service, clerk, 2)
    orphan = Person()
    mark_deleted(database, orphan)
    backboard.make_assistant(orphan.assistant_name, created_at=LONG_AGO)
    lost = Person()
    know(clerk, lost)
    backboard.make_assistant(lost.assistant_name, created_at=LONG_AGO)
    for number in range(200):
        backboard.make_assistant(f"other {number}")
    backboard.make_assistant(person.assistant_name)
    note(database, person)

    seen = await run(apply=False)
    report = await run()

    assert report.survey.cut
    assert found(seen) == {
        ("duplicate", person.clerk_id, "found"),
        ("orphaned", orphan.clerk_id, "found"),
        ("missing", lost.clerk_id, "found"),
    }
    assert found(report) == {
        ("duplicate", person.clerk_id, "mended"),
        ("orphaned", orphan.clerk_id, "left"),
        ("missing", lost.clerk_id, "mended"),
    }
    assert len(backboard.made(lost.assistant_name)) == 1
    assert len(backboard.alive(orphan.assistant_name)) == len(backboard.alive(person.assistant_name)) == 1


async def test_an_unfinished_deletion_is_finished(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """The tombstone stands, its own assistant is still there, under whatever name, and the sender has given up."""
    person, _stays = await sign_up(service, clerk, 2)
    clerk.remove_user(person.clerk_id)
    backboard.next_delete(status(500))
    body = event("user.deleted", {"object": "user", "id": person.clerk_id, "deleted": True})
    assert (await service.deliver(body)).status_code == 503
    backboard.alive(person.assistant_name)[0].name = "renamed in the dashboard"

    await run(everybody=False)

    assert len(backboard.alive()) == 1
    assert database.execute("SELECT 1 FROM provisioning_attempts").fetchone() is None
