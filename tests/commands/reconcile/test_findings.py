"""What reconcile finds and repairs, and that it never deletes an assistant of a live row."""

import pytest

from app.commands.reconcile import readers
from tests.commands.reconcile.drifting import (
    LONG_AGO,
    Database,
    Run,
    add_to_clerk,
    findings_of,
    make_drift,
    make_orphan,
    record_attempt,
    sign_up,
    state_of,
)
from tests.support.factories import Person, event
from tests.support.service import Chat, Service
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import status
from tools.sandbox.clerk import Clerk

pytestmark = pytest.mark.anyio


async def test_without_apply_every_kind_is_found_and_nothing_is_changed(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """Backboard receives GET requests only."""
    drift = await make_drift(service, clerk, database, backboard)
    before, asked = state_of(database, backboard), len(backboard.calls())

    report = await run(apply=False)

    assert findings_of(report) == {(kind, person.clerk_id, "found") for kind, person in drift.items()}
    assert not report.clean
    assert state_of(database, backboard) == before
    assert {call.method for call in backboard.calls()[asked:]} == {"GET"}


async def test_apply_repairs_every_kind(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """The first run renames the duplicate and repairs the others, the second deletes it, the third finds nothing."""
    drift = await make_drift(service, clerk, database, backboard)

    first = await run()

    assert findings_of(first) == {(kind, person.clerk_id, "mended") for kind, person in drift.items()}
    assert first.clean
    assert len(backboard.alive(drift["duplicate"].assistant_name)) == 1
    await run()
    third = await run()
    assert findings_of(third) == set()
    live = database.execute("SELECT clerk_id, assistant_id, name FROM users WHERE deleted_at IS NULL").fetchall()
    assert {row["clerk_id"] for row in live} == set(clerk.users)
    assert {row["assistant_id"] for row in live} == {one.id for one in backboard.alive()}
    assert next(row["name"] for row in live if row["clerk_id"] == drift["stale"].clerk_id).startswith("Canarynew")


async def test_a_row_with_another_picture_is_stale(
    service: Service, clerk: Clerk, database: Database, run: Run
) -> None:
    """As all rows are that are older than the column; the next event would bring it too."""
    await sign_up(service, clerk, 2)
    old = database.execute("UPDATE users SET image_url = NULL RETURNING clerk_id").fetchall()

    report = await run()

    assert findings_of(report) == {("stale", row["clerk_id"], "mended") for row in old}
    assert {row["image_url"] for row in database.execute("SELECT image_url FROM users")} == {
        "https://img.example.com/canary"
    }


async def test_only_assistants_with_exactly_our_names_are_candidates(
    service: Service, clerk: Clerk, backboard: Sandbox, run: Run
) -> None:
    """Other names under the prefix are counted, names without the prefix are not, and all these assistants stay."""
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
    assert (report.scan.our_assistants, report.scan.other_assistants) == (1, 6)


async def test_an_assistant_of_a_row_is_never_deleted(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """An assistant renamed at Backboard to another user's name is not that user's duplicate."""
    one, other = await sign_up(service, clerk, 2)
    theirs = backboard.alive(other.assistant_name)[0]
    theirs.name = one.assistant_name

    report = await run()

    assert findings_of(report) == set()
    assert theirs in backboard.alive(one.assistant_name)
    record_attempt(database, one)
    await run(all_users=False)
    assert theirs in backboard.alive(one.assistant_name)


async def test_a_duplicate_is_adopted_when_the_rows_own_assistant_is_lost(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """The duplicate may be all that is left of the user."""
    person, *_ = await sign_up(service, clerk, 3)
    own = backboard.alive(person.assistant_name)[0]
    twin = backboard.make_assistant(person.assistant_name, created_at=LONG_AGO)
    backboard.delete_assistant(own.id)
    record_attempt(database, person)

    report = await run()

    assert findings_of(report) == {("missing", person.clerk_id, "mended"), ("duplicate", person.clerk_id, "mended")}
    assert backboard.alive(person.assistant_name) == [twin]
    rows = database.execute("SELECT assistant_id FROM users WHERE clerk_id = %s", [person.clerk_id]).fetchall()
    assert [row["assistant_id"] for row in rows] == [twin.id]
    assert findings_of(await run()) == set()


@pytest.mark.parametrize("all_users", [True, False])
async def test_a_lost_assistant_is_replaced(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run, *, all_users: bool
) -> None:
    """Found without --apply, repaired with it, and nothing is left for the next run."""
    person, *_ = await sign_up(service, clerk, 3)
    chat = Chat(service.client)
    session = (await chat.open(person)).json()
    backboard.delete_assistant(session["assistant_id"])

    found, mended, after = [findings_of(await run(all_users=all_users, apply=apply)) for apply in (False, True, True)]

    (assistant,) = backboard.alive(person.assistant_name)
    assert (found, mended, after) == (
        {("missing", person.clerk_id, "found")}, {("missing", person.clerk_id, "mended")}, set()
    )  # fmt: skip
    assert database.execute("SELECT 1 FROM provisioning_attempts").fetchall() == []
    seen = (await chat.get(f"/sessions/{session['id']}")).json()
    assert (seen["assistant_id"], seen["thread_id"]) == (assistant.id, None)


async def test_a_lost_assistant_of_a_user_whom_clerk_does_not_know_is_not_replaced(
    service: Service, clerk: Clerk, backboard: Sandbox, run: Run
) -> None:
    """The user is deleted instead."""
    person, *_ = await sign_up(service, clerk, 3)
    backboard.delete_assistant(backboard.alive(person.assistant_name)[0].id)
    clerk.remove_user(person.clerk_id)

    report = await run()

    assert findings_of(report) == {("missing", person.clerk_id, "mended"), ("deleted", person.clerk_id, "mended")}
    assert backboard.alive(person.assistant_name) == []


async def test_a_lost_assistant_that_cannot_be_replaced_is_left_for_the_next_run(
    service: Service, clerk: Clerk, backboard: Sandbox, run: Run
) -> None:
    """A create whose answer is lost is adopted by the next run, and its second one does not exist."""
    person, *_ = await sign_up(service, clerk, 3)
    backboard.delete_assistant(backboard.alive(person.assistant_name)[0].id)
    backboard.next_create(status(500, after_commit=True))

    first, second = await run(), await run()

    assert findings_of(first) == {("missing", person.clerk_id, "left")}
    assert ("missing", person.clerk_id, "mended") in findings_of(second)
    assert len(backboard.alive(person.assistant_name)) == 1


async def test_an_unfinished_deletion_of_a_session_is_finished(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """Nobody has to repeat the request; a thread that cannot be deleted is left, and named by the exit code."""
    (person,) = await sign_up(service, clerk)
    chat = Chat(service.client)
    session = (await chat.open(person)).json()
    backboard.next("delete_thread", status(500), status(500))
    assert (await chat.delete(f"/sessions/{session['id']}")).status_code == 503

    reports = [await run(apply=False, all_users=False), *[await run(all_users=False) for _ in range(3)]]

    assert [(one.threads.found, one.threads.left, one.clean) for one in reports] == [
        (1, 1, False), (1, 1, False), (1, 0, True), (0, 0, True)
    ]  # fmt: skip
    assert (backboard.threads(), database.execute("SELECT 1 FROM deleted_threads").fetchall()) == ([], [])


async def test_lost_rows_come_back_with_their_assistants(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """After a restore from a backup the assistants are adopted, although there is no attempt row."""
    lost, _stays = await sign_up(service, clerk, 2)
    (assistant,) = backboard.alive(lost.assistant_name)
    database.execute("DELETE FROM users WHERE clerk_id = %s", [lost.clerk_id])

    await run()

    row = database.execute("SELECT assistant_id FROM users WHERE clerk_id = %s", [lost.clerk_id]).fetchone()
    assert row == {"assistant_id": assistant.id}
    assert len(backboard.made(lost.assistant_name)) == 1


async def test_with_a_cut_listing_orphans_stay_and_attempts_are_resolved_by_name(
    service: Service,
    clerk: Clerk,
    database: Database,
    backboard: Sandbox,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Users with an attempt row or without a row are looked up by name."""
    monkeypatch.setattr(readers, "LAST_SKIP", 0)
    person, *_ = await sign_up(service, clerk, 2)
    orphan = make_orphan(database, backboard, created_at=LONG_AGO)
    lost = Person()
    add_to_clerk(clerk, lost)
    backboard.make_assistant(lost.assistant_name, created_at=LONG_AGO)
    for number in range(200):
        backboard.make_assistant(f"other {number}")
    backboard.make_assistant(person.assistant_name)
    record_attempt(database, person)

    seen = await run(apply=False)
    report = await run()

    assert report.scan.is_listing_cut
    assert findings_of(seen) == {
        ("duplicate", person.clerk_id, "found"),
        ("orphaned", orphan.clerk_id, "found"),
        ("missing", lost.clerk_id, "found"),
    }
    assert findings_of(report) == {
        ("duplicate", person.clerk_id, "mended"),
        ("orphaned", orphan.clerk_id, "left"),
        ("missing", lost.clerk_id, "mended"),
    }
    assert len(backboard.made(lost.assistant_name)) == 1
    assert len(backboard.alive(orphan.assistant_name)) == len(backboard.alive(person.assistant_name)) == 1


async def test_an_unfinished_deletion_is_finished(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """The tombstone is written, Backboard has failed, and the assistant has been renamed since."""
    person, _stays = await sign_up(service, clerk, 2)
    clerk.remove_user(person.clerk_id)
    backboard.next_delete(status(500))
    body = event("user.deleted", {"object": "user", "id": person.clerk_id, "deleted": True})
    assert (await service.deliver(body)).status_code == 503
    backboard.alive(person.assistant_name)[0].name = "renamed in the dashboard"

    await run(all_users=False)

    assert len(backboard.alive()) == 1
    assert database.execute("SELECT 1 FROM provisioning_attempts").fetchone() is None
