"""Reconcile: what it finds, what it refuses to believe, and that it never takes what somebody has."""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from app import drift, sources
from app.drift import NoClerkKey, Refused, Waits
from app.reconcile import Report, as_json
from app.server import reconcile
from local.backboard import Sandbox
from local.backboard_faults import behaves, drops, held, late, resets, status
from local.clerk import Clerk, refuses
from tests import commands
from tests.factories import Person, event, user_created, user_data
from tests.services import ServerProcess, Service, settings_of, talking_to

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]
Run = Callable[..., Coroutine[Any, Any, Report]]

KEY = "sk_test_canary"
AT_ONCE = Waits(timedelta(0), timedelta(0))
USUAL = Waits(timedelta(hours=1), timedelta(days=7))
LONG_AGO = datetime.now(UTC) - timedelta(days=30)


@pytest.fixture
def clerk() -> Iterator[Clerk]:
    with Clerk({KEY}) as instance:
        yield instance


@pytest.fixture
def with_clerk(variables: dict[str, str], clerk: Clerk) -> dict[str, str]:
    return variables | {"CLERK_SECRET_KEY": KEY, "CLERK_API_URL": clerk.url}


@pytest.fixture
def run(with_clerk: dict[str, str]) -> Run:
    """Reconcile everybody, without waiting for anything, unless told otherwise."""

    async def run(
        *, everybody: bool = True, apply: bool = True, waits: Waits = AT_ONCE, without: str | None = None
    ) -> Report:
        variables = {key: value for key, value in with_clerk.items() if key != without}
        return await reconcile(settings_of(variables), everybody=everybody, apply=apply, waits=waits)

    return run


def state_of(database: Database, backboard: Sandbox) -> Any:
    """Everything that a run could change."""
    tables = ("users", "deleted_users", "provisioning_attempts")
    rows = [database.execute(f"SELECT * FROM {table} ORDER BY clerk_id".encode()).fetchall() for table in tables]
    return rows, sorted((one.id, one.name) for one in backboard.alive())


def know(clerk: Clerk, person: Person, **changed: Any) -> None:
    """Clerk has this user from now on, as the events tell of them."""
    clerk.add_user(person.clerk_id, **user_data(person, **changed))


def found(report: Report) -> set[tuple[str, str, str]]:
    return {(finding.kind, finding.clerk_id, finding.state) for finding in report.survey.findings()}


def note(database: Database, person: Person, *, tries: int = 2, age: str = "2 hours") -> None:
    database.execute(
        "INSERT INTO provisioning_attempts (clerk_id, tries, first_at, last_at)"
        " VALUES (%s, %s, now() - %s::interval, now() - %s::interval)",
        [person.clerk_id, tries, age, age],
    )


def bury(database: Database, person: Person) -> None:
    """A tombstone, as user.deleted left it an hour ago."""
    database.execute(
        "INSERT INTO deleted_users (clerk_id, deleted_at) VALUES (%s, now() - interval '1 hour')", [person.clerk_id]
    )


async def sign_up(service: Service, clerk: Clerk, number: int = 1) -> list[Person]:
    """So many users as they should be."""
    people = [Person() for _ in range(number)]
    for person in people:
        know(clerk, person)
        assert (await service.deliver(user_created(person))).status_code == 200
    return people


async def make_a_mess(service: Service, clerk: Clerk, database: Database, backboard: Sandbox) -> dict[str, Person]:
    """One user of each finding, beside three as they should be."""
    await sign_up(service, clerk, 3)
    stale, deleted, duplicate = await sign_up(service, clerk, 3)
    missing, orphaned = Person(), Person()
    know(clerk, missing)
    know(clerk, stale, updated_at=1_700_000_000_500, first_name="Canarynew")
    clerk.remove_user(deleted.clerk_id)
    backboard.make_assistant(duplicate.assistant_name)
    backboard.make_assistant(orphaned.assistant_name)
    bury(database, orphaned)
    return {"missing": missing, "stale": stale, "deleted": deleted, "duplicate": duplicate, "orphaned": orphaned}


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
    prepare: Any,
    reason: str,
) -> None:
    """With and without --apply, and with a sentence that names the cause."""
    await prepare(service, clerk, database, backboard)
    before, asked = state_of(database, backboard), len(backboard.calls())

    for apply in (False, True):
        with pytest.raises(Refused, match=reason):
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

    with pytest.raises(Refused):
        await run(everybody=False)

    assert state_of(database, backboard) == before


async def test_an_unknown_schema_is_refused(service: Service, database: Database, run: Run) -> None:
    """A newer release may keep what this one would take away."""
    del service
    database.execute("INSERT INTO schema_migrations (version) VALUES ('9999')")
    try:
        with pytest.raises(Refused, match="the schema is 9999"):
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

    with pytest.raises(Refused, match="CLERK_SECRET_KEY"):
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


async def test_a_run_makes_at_most_fifty_changes(
    service: Service,
    clerk: Clerk,
    database: Database,
    backboard: Sandbox,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rest is left, said so, and done by the runs after it."""
    monkeypatch.setattr(drift, "FEW_CANDIDATES", 100)
    await sign_up(service, clerk)
    for _ in range(60):
        gone = Person()
        bury(database, gone)
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
    monkeypatch.setattr(sources, "LAST_SKIP", 0)
    person, *_ = await sign_up(service, clerk, 2)
    orphan = Person()
    bury(database, orphan)
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


FAULTS = [status(500, after_commit=True), drops(after_commit=True), resets(), late(0.3), status(422), behaves()]


async def deliver_to_one_that_dies(
    server: ServerProcess, backboard: Sandbox, people: list[Person], gate: threading.Event
) -> None:
    """Kill the server while Backboard works on its creates; Backboard finishes them all the same."""
    names = {person.assistant_name for person in people}
    backboard.next_create(*[held(gate) for _ in people], where=names.__contains__)
    async with talking_to(server) as service:
        deliveries = [asyncio.create_task(service.deliver(user_created(person))) for person in people]
        await asyncio.to_thread(
            backboard.wait_for, lambda: names <= {call.name for call in backboard.calls(kind="create")}
        )
        server.kill()
        await asyncio.gather(*deliveries, return_exceptions=True)
    gate.set()
    await asyncio.to_thread(backboard.wait_for, lambda: names <= {one.name for one in backboard.alive()})


@pytest.mark.ways("direct")  # The server that dies holds four connections.
async def test_after_lost_answers_late_creates_and_kills_two_runs_leave_one_each(
    clerk: Clerk,
    database: Database,
    backboard: Sandbox,
    run: Run,
    start_server: Callable[..., ServerProcess],
) -> None:
    """Nobody delivers again, so everything is reconcile's; it is driven by the attempt rows alone."""
    people, killed = [Person() for _ in range(24)], [Person() for _ in range(4)]
    for person in (*people, *killed):
        know(clerk, person)
    for number, person in enumerate(people):
        backboard.next_create(FAULTS[number % len(FAULTS)], where=person.assistant_name.__eq__)
    gone = people[::4]
    # Several servers, since each stops asking a partner that has failed five times in a row.
    servers = [start_server() for _ in range(6)]
    for server, some in zip(servers, (people[first : first + 4] for first in range(0, 24, 4)), strict=True):
        async with talking_to(server) as service:
            await asyncio.gather(*(service.deliver(user_created(person)) for person in some))
            await asyncio.gather(*(service.deliver(user_created(person)) for person in some[::2]))
            clerk.remove_user(some[0].clerk_id)
            backboard.next_delete(status(500), where=some[0].assistant_name.__eq__)
            await service.deliver(event("user.deleted", {"object": "user", "id": some[0].clerk_id}))
    await deliver_to_one_that_dies(servers[0], backboard, killed, threading.Event())
    doubts = database.execute("SELECT count(*) AS doubts FROM provisioning_attempts").fetchall()[0]["doubts"]
    assert doubts > 10
    # Everything late arrives first: without a least age, a note is forgotten before what comes after it.
    await asyncio.sleep(0.5)

    await run(everybody=False)
    second = await run(everybody=False)

    assert second.clean
    rows = database.execute("SELECT clerk_id, assistant_id FROM users WHERE deleted_at IS NULL").fetchall()
    assert {row["clerk_id"] for row in rows} == {person.clerk_id for person in (*people, *killed)} - {
        person.clerk_id for person in gone
    }
    assert sorted(row["assistant_id"] for row in rows) == sorted(one.id for one in backboard.alive())
    assert database.execute("SELECT 1 FROM provisioning_attempts").fetchall() == []


async def test_two_runs_at_once_are_harmless(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """Each user is one run's at a time; what one has done the other finds done."""
    mess = await make_a_mess(service, clerk, database, backboard)

    await asyncio.gather(run(), run())
    await asyncio.gather(run(), run())

    assert found(await run()) == set()
    live = database.execute("SELECT clerk_id, assistant_id FROM users WHERE deleted_at IS NULL").fetchall()
    assert {row["assistant_id"] for row in live} == {one.id for one in backboard.alive()}
    assert mess["missing"].clerk_id in {row["clerk_id"] for row in live}


async def test_a_redelivery_may_adopt_while_reconcile_provisions(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """Both want the assistant that a lost answer left; one row names it, and nobody deletes it."""
    await sign_up(service, clerk)
    person = Person()
    know(clerk, person)
    backboard.next_create(status(500, after_commit=True))
    assert (await service.deliver(user_created(person))).status_code == 503
    gate = threading.Event()
    backboard.next_lookup(held(gate), held(gate), where=person.assistant_name.__eq__)

    delivery = asyncio.create_task(service.deliver(user_created(person)))
    reconciling = asyncio.create_task(run(everybody=False))
    await asyncio.to_thread(backboard.wait_for, lambda: bool(backboard.calls(kind="lookup")))
    await asyncio.sleep(0.3)
    gate.set()
    await asyncio.gather(delivery, reconciling)
    await run(everybody=False)

    (assistant,) = backboard.made(person.assistant_name)
    assert assistant.deleted_at is None
    row = database.execute("SELECT assistant_id FROM users WHERE clerk_id = %s", [person.clerk_id]).fetchone()
    assert row == {"assistant_id": assistant.id}


async def test_a_user_whom_somebody_else_works_on_is_left(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """The lock is the same as a sign-up's; what waited for it in vain is the next run's."""
    (person,) = await sign_up(service, clerk)
    twin = backboard.make_assistant(person.assistant_name)
    note(database, person)

    with database.transaction():
        database.execute("SELECT pg_advisory_xact_lock(hashtextextended('app:user:' || %s, 0))", [person.clerk_id])
        report = await run(everybody=False)

    assert found(report) == {("duplicate", person.clerk_id, "left")}
    assert twin in backboard.alive(person.assistant_name)


async def test_a_note_is_kept_when_a_try_is_noted_while_it_is_looked_into(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """Noting takes no lock, and what that try leaves must not be forgotten with the old doubt."""
    (person,) = await sign_up(service, clerk)
    note(database, person)
    gate = threading.Event()
    backboard.next_lookup(held(gate))

    reconciling = asyncio.create_task(run(everybody=False))
    await asyncio.to_thread(backboard.wait_for, lambda: bool(backboard.calls(kind="lookup")))
    database.execute("UPDATE provisioning_attempts SET tries = tries + 1, last_at = now()")
    gate.set()
    await reconciling

    (attempt,) = database.execute("SELECT tries FROM provisioning_attempts").fetchall()
    assert attempt["tries"] == 3


@pytest.mark.parametrize("words", ["everything", "--min-age -1", "--keep-days soon", "--force"])
async def test_wrong_words_are_a_usage_error(words: str) -> None:
    """Before the environment is even read."""
    assert (await asyncio.to_thread(commands.run, "reconcile", *words.split()))[0] == 2


async def test_one_user_that_fails_does_not_stop_the_others(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """What could not be done is said, and the next run does it."""
    await sign_up(service, clerk)
    unlucky, lucky = Person(), Person()
    for gone in (unlucky, lucky):
        bury(database, gone)
        backboard.make_assistant(gone.assistant_name)
    backboard.next_delete(status(500), where=unlucky.assistant_name.__eq__)

    report = await run()

    assert found(report) == {("orphaned", unlucky.clerk_id, "left"), ("orphaned", lucky.clerk_id, "mended")}
    assert (report.failures, report.clean) == (1, False)
    assert (await run()).clean


async def test_the_report_for_programs_says_the_same(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """Counts by kind and state, and every finding by its ids."""
    mess = await make_a_mess(service, clerk, database, backboard)

    document = json.loads(as_json(await run(apply=False)))

    assert (document["applied"], document["clean"], document["users"]) == (False, False, 6)
    assert {kind: counts["found"] for kind, counts in document["counts"].items()} == dict.fromkeys(mess, 1)
    assert 0 <= document["last_change_seconds"] < 60
    assert {(each["kind"], each["clerk_id"]) for each in document["findings"]} == {
        (kind, person.clerk_id) for kind, person in mess.items()
    }


async def test_the_command_speaks_by_its_exit_code_and_prints_nothing_personal(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, with_clerk: dict[str, str]
) -> None:
    """1 while something is left, 0 when all is mended, 3 for a refusal, 78 without the key that is needed."""
    await make_a_mess(service, clerk, database, backboard)

    async def say(*words: str, **more: str) -> tuple[int, str, str]:
        process = commands.start("reconcile", *words, **(with_clerk | more))  # type: ignore[arg-type]  # No checkout.
        return await asyncio.to_thread(commands.finish, process)

    runs = [
        await say("--all"),
        await say("--all", "--json"),
        await say("--all", "--apply", "--min-age", "0", "--keep-days", "0"),
        await say("--all"),
        await say(),
        await say("--all", CLERK_SECRET_KEY=""),
    ]
    clerk.switches.uncounted = 1
    runs.append(await say("--all", "--json"))

    assert [code for code, _, _ in runs] == [1, 1, 0, 0, 0, 78, 3]
    assert json.loads(runs[1][1])["looked_at"] == "everybody"
    assert "CLERK_SECRET_KEY" in runs[5][2]
    assert runs[6][2].startswith("Refused, and nothing was changed: ")
    for _, output, complaints in runs:
        assert "canary" not in (output + complaints).lower()
        assert "@" not in output + complaints
