"""Backfill: every user of Clerk ends with a row and an assistant, in spite of interruptions and failures."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from app.clerk.api import PAGE_LIMIT
from app.commands.backfill import Backfill, Summary
from app.components import build_components, open_components
from tests.support import commands
from tests.support.factories import Person, user_data
from tests.support.service import settings_of
from tools.processes import wait_until
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import status
from tools.sandbox.clerk import LOCAL_KEY, Clerk, refuses
from tools.sandbox.faults import behaves, cuts, drops, garbage, held

Database = psycopg.Connection[dict[str, Any]]
Run = Callable[[], tuple[int, str, str]]

# The promise is 10,000; they take half a minute, so the suite uses fewer.
BACKFILL_USERS = int(os.environ.get("BACKFILL_USERS", "1500"))


@pytest.fixture
def clerk() -> Iterator[Clerk]:
    with Clerk() as clerk:
        yield clerk


@pytest.fixture
def variables(variables: dict[str, str], clerk: Clerk) -> dict[str, str]:
    return variables | {"CLERK_SECRET_KEY": LOCAL_KEY, "CLERK_API_URL": clerk.url}


@pytest.fixture
def backfill(variables: dict[str, str]) -> Run:
    """The command, run to its end; its output has nothing personal in it."""

    def run_it() -> tuple[int, str, str]:
        code, stdout, stderr = run(variables)
        assert "canary" not in (stdout + stderr).lower()
        return code, stdout, stderr

    return run_it


def start(variables: dict[str, str], **more: str) -> commands.Command:
    return commands.start("backfill", checkout=commands.ROOT, **variables, **more)


def run(variables: dict[str, str], **more: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    return commands.finish(start(variables, **more))


def add_users(clerk: Clerk, count: int) -> list[Person]:
    """Add users, the oldest first."""
    people = [Person() for _ in range(count)]
    for person in people:
        clerk.add_user(**user_data(person, created_at=1_700_000_000_000 + person.number))
    return people


def count(database: Database, table: str = "users") -> int:
    (row,) = database.execute(f"SELECT count(*) AS n FROM {table}".encode()).fetchall()
    return int(row["n"])


def creates(backboard: Sandbox) -> int:
    return len(backboard.calls(kind="create"))


def outcomes(stdout: str) -> dict[str, int]:
    """The counts of the last line that are not zero."""
    (line,) = stdout.splitlines()
    return {word: int(number) for number, word in re.findall(r"(\d+) (\w+)(?:,|$)", line) if number != "0"}


@pytest.mark.ways("direct")  # It needs all five connections of the provisioning pool.
def test_every_user_gets_a_row_and_an_assistant(
    clerk: Clerk, backfill: Run, database: Database, backboard: Sandbox
) -> None:
    """Over three pages, with one call of Backboard for each user; the row has Clerk's data."""
    people = add_users(clerk, 2 * PAGE_LIMIT + 7)

    code, stdout, _ = backfill()

    assert (code, outcomes(stdout)) == (0, {"created": len(people)})
    assert (count(database), len(backboard.calls())) == (len(people), len(people))
    rows = database.execute("SELECT clerk_id, email, assistant_id FROM users ORDER BY clerk_id").fetchall()
    assert [(row["clerk_id"], row["email"]) for row in rows] == [(one.clerk_id, one.email) for one in people]
    assert {row["assistant_id"] for row in rows} == {assistant.id for assistant in backboard.alive()}


def test_a_second_run_calls_backboard_for_no_user(
    clerk: Clerk, backfill: Run, database: Database, backboard: Sandbox
) -> None:
    """A change at Clerk is stored; the other rows stay as they were."""
    people = add_users(clerk, 60)
    backfill()
    calls = len(backboard.calls())
    clerk.add_user(**user_data(people[0], updated_at=1_700_000_000_001, username="new"))

    code, stdout, _ = backfill()

    assert (code, outcomes(stdout)) == (0, {"updated": 1, "exists": 59})
    assert len(backboard.calls()) == calls
    assert count(database) == 60


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
@pytest.mark.ways("direct")  # Each of several users under way has a connection.
def test_a_signal_lets_the_users_under_way_finish_and_starts_no_other(
    clerk: Clerk, variables: dict[str, str], database: Database, backboard: Sandbox, number: signal.Signals
) -> None:
    """Those are PROVISIONING_CONCURRENCY users; the last line says how to go on."""
    add_users(clerk, 40)
    gate = threading.Event()
    backboard.always("create", held(gate))
    process = start(variables, PROVISIONING_CONCURRENCY="3")
    backboard.wait_for(lambda: creates(backboard) == 3, seconds=15)

    process.send_signal(number)
    process.send_signal(number)
    time.sleep(0.5)
    assert process.poll() is None
    gate.set()
    code, stdout, stderr = commands.finish(process)

    assert (code, outcomes(stdout)) == (1, {"created": 3})
    assert "run it again" in stderr
    assert (creates(backboard), count(database), count(database, "provisioning_attempts")) == (3, 3, 0)


def test_two_interruptions_lose_no_user(
    clerk: Clerk, variables: dict[str, str], database: Database, backboard: Sandbox
) -> None:
    """Three runs, the first two ended by a signal: exactly one create for each user, and no attempt row."""
    add_users(clerk, BACKFILL_USERS)
    for enough, number in ((BACKFILL_USERS * 3 // 10, signal.SIGTERM), (BACKFILL_USERS * 6 // 10, signal.SIGINT)):
        process = start(variables)
        while creates(backboard) < enough:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        code, _, stderr = commands.finish(process)
        assert (code, "run it again" in stderr) == (1, True)
        assert creates(backboard) == count(database) < BACKFILL_USERS
        assert count(database, "provisioning_attempts") == 0

    code, _, _ = commands.finish(start(variables), seconds=90)

    assert code == 0
    assert creates(backboard) == len(backboard.alive()) == count(database) == BACKFILL_USERS


def test_a_page_that_fails_is_read_again(clerk: Clerk, backfill: Run, database: Database) -> None:
    """Cut in the middle, cut before the first byte, or refused with a 500."""
    people = add_users(clerk, PAGE_LIMIT + 20)
    clerk.next("list", behaves(), cuts(), drops(), behaves())
    clerk.next("count", refuses(500))

    code, stdout, _ = backfill()

    assert (code, outcomes(stdout)) == (0, {"created": len(people)})
    assert count(database) == len(people)


def test_a_listing_that_fails_for_good_is_completed_by_the_next_run(
    clerk: Clerk, backfill: Run, database: Database
) -> None:
    """The listed users are provisioned; the run counts as failed."""
    people = add_users(clerk, PAGE_LIMIT + 20)
    clerk.next("list", behaves())
    clerk.always("list", cuts())

    code, _, stderr = backfill()
    assert (code, count(database)) == (1, PAGE_LIMIT)
    assert "clerk_unreachable" in stderr
    clerk.clear()

    code, stdout, _ = backfill()
    assert (code, outcomes(stdout)) == (0, {"created": 20, "exists": PAGE_LIMIT})
    assert count(database) == len(people)


def test_a_listing_that_repeats_its_first_page_is_a_failure(clerk: Clerk, backfill: Run, database: Database) -> None:
    """It does not go on for ever."""
    add_users(clerk, PAGE_LIMIT + 20)
    clerk.switches.cursor_ignored = True

    code, _, stderr = backfill()

    assert (code, count(database)) == (1, PAGE_LIMIT)
    assert "repeats" in stderr
    assert len(clerk.calls("list")) == 2


def test_a_listing_shorter_than_clerks_own_count_is_a_failure(clerk: Clerk, backfill: Run) -> None:
    """A page can be short for another reason than being the last one."""
    add_users(clerk, 5)
    clerk.switches.uncounted = 1

    code, stdout, stderr = backfill()

    assert (code, outcomes(stdout)) == (1, {"created": 5})
    assert "listed 5" in stderr


def test_a_user_with_an_unusable_id_counts_as_failed(clerk: Clerk, backfill: Run) -> None:
    """The events of such a user are refused as well; the other users are provisioned."""
    add_users(clerk, 5)
    clerk.add_user("user_canary:1")

    code, stdout, stderr = backfill()

    assert (code, outcomes(stdout)) == (1, {"created": 5, "failed": 1})
    assert "event=backfill_failed reason=clerk_id users=1" in stderr


def test_users_that_are_listed_twice_are_counted_once(clerk: Clerk, backfill: Run) -> None:
    """A second page that overlaps the first has enough users in it, although some are missing."""
    add_users(clerk, PAGE_LIMIT + 20)
    full = list(clerk.users.values())
    overlapping = json.dumps(full[PAGE_LIMIT - 5 : PAGE_LIMIT + 15]).encode()
    clerk.next("list", behaves(), garbage(overlapping))

    code, stdout, stderr = backfill()

    assert (code, outcomes(stdout)) == (1, {"created": PAGE_LIMIT + 15})
    assert f"listed {PAGE_LIMIT + 15} users" in stderr


@pytest.mark.parametrize("gone_cursor", ["goes_on", "refused", "empty"])
def test_users_deleted_during_the_listing_lose_no_other_user(
    clerk: Clerk, variables: dict[str, str], database: Database, gone_cursor: Any
) -> None:
    """The cursor of a deleted user may work, be refused or end the listing; one more run completes it."""
    people = add_users(clerk, PAGE_LIMIT + 100)
    gate = threading.Event()
    clerk.switches.gone_cursor = gone_cursor
    clerk.next("list", behaves(), held(gate))
    process = start(variables)
    wait_until(lambda: len(clerk.calls("list")) == 2)
    for person in (people[3], people[PAGE_LIMIT - 1], people[PAGE_LIMIT + 50]):
        clerk.remove_user(person.clerk_id)
    gate.set()
    code, _, _ = commands.finish(process)

    assert code == (0 if gone_cursor == "goes_on" else 1)
    if code:
        assert run(variables)[0] == 0
    stored = {row["clerk_id"] for row in database.execute("SELECT clerk_id FROM users").fetchall()}
    assert set(clerk.users) <= stored


def test_a_user_with_a_tombstone_is_not_provisioned(
    clerk: Clerk, backfill: Run, database: Database, backboard: Sandbox
) -> None:
    """Clerk may list a user after the event of the deletion."""
    people = add_users(clerk, 3)
    database.execute("INSERT INTO deleted_users (clerk_id) VALUES (%s)", [people[1].clerk_id])

    code, stdout, _ = backfill()

    assert (code, outcomes(stdout)) == (0, {"created": 2, "gone": 1})
    assert (count(database), backboard.made(people[1].assistant_name)) == (2, [])


def test_a_user_that_always_fails_does_not_stop_the_others(
    clerk: Clerk, backfill: Run, database: Database, backboard: Sandbox
) -> None:
    """The user is tried a few times, then named by id; the exit code is 1."""
    people = add_users(clerk, 30)
    unlucky = people[4]
    backboard.always("create", status(500, retry_after="1"), where=lambda name: name == unlucky.assistant_name)

    code, stdout, stderr = backfill()

    assert (code, outcomes(stdout)) == (1, {"created": 29, "failed": 1})
    assert unlucky.clerk_id in stderr
    assert (count(database), creates(backboard)) == (29, 29 + 4)


def test_a_lost_answer_is_adopted_on_the_next_try(
    clerk: Clerk, backfill: Run, database: Database, backboard: Sandbox
) -> None:
    """As in a redelivery, the assistant is found by its name."""
    add_users(clerk, 5)
    backboard.next_create(status(500, retry_after="1", after_commit=True))

    code, stdout, _ = backfill()

    assert (code, outcomes(stdout)) == (0, {"created": 5})
    assert (creates(backboard), len(backboard.alive()), count(database)) == (5, 5, 5)


def test_throttling_by_backboard_is_not_a_failed_try(
    clerk: Clerk, variables: dict[str, str], backboard: Sandbox
) -> None:
    """One user may meet more 429s than it has tries."""
    add_users(clerk, 3)
    backboard.next_create(*[status(429, retry_after="1")] * 5)

    code, stdout, _ = run(variables, PROVISIONING_CONCURRENCY="1")

    assert (code, outcomes(stdout)) == (0, {"created": 3})


def test_clerks_retry_after_is_honoured(clerk: Clerk, backfill: Run) -> None:
    """The endpoint answers 429 until then, so an earlier call would show here."""
    add_users(clerk, 3)
    clerk.throttle("list", 2)

    code, _, _ = backfill()

    refused, answered = clerk.calls("list")
    assert (code, refused.status, answered.status) == (0, 429, 200)
    assert answered.at - refused.at >= 2


def test_an_outage_of_backboard_is_waited_out(clerk: Clerk, variables: dict[str, str], backboard: Sandbox) -> None:
    """While the circuit breaker is open, no tries are used up, and a line says why the run waits."""
    add_users(clerk, 60)
    with backboard.refuse_connections():
        running = start(variables)
        said = running.folder / "stderr"
        while not said.exists() or "event=backfill_waits reason=backboard_down" not in said.read_text():
            assert running.poll() is None
            time.sleep(0.05)

    code, stdout, _ = commands.finish(running, 60)

    assert (code, outcomes(stdout)) == (0, {"created": 60})


@pytest.mark.anyio
async def test_a_long_outage_ends_the_run(
    clerk: Clerk, variables: dict[str, str], backboard: Sandbox, database: Database
) -> None:
    """Most users are left for the next run, instead of failing one after the other."""
    add_users(clerk, 200)
    backboard.always("create", status(503, retry_after="1"))

    summary = await run_in_process(variables, outage_seconds=2)

    assert "No user was done for 2 s" in (summary.abort_reason or "")
    assert not summary.complete
    assert summary.outcomes.total() <= 10
    assert count(database) == 0


@pytest.mark.anyio
async def test_a_page_is_read_when_the_users_of_the_last_one_are_under_way(
    clerk: Clerk, variables: dict[str, str], backboard: Sandbox, database: Database
) -> None:
    """The number of users in memory does not grow with the instance."""
    add_users(clerk, 4 * PAGE_LIMIT)
    gate = threading.Event()
    backboard.always("create", held(gate))
    threading.Timer(2, gate.set).start()
    pages: list[int] = []

    summary = await run_in_process(variables, advance=lambda: pages.append(len(clerk.calls("list"))))

    assert pages[0] == 1
    assert summary.complete
    assert count(database) == 4 * PAGE_LIMIT


async def run_in_process(
    variables: dict[str, str], *, outage_seconds: float = 60, advance: Callable[[], object] = lambda: None
) -> Summary:
    settings = settings_of(variables)
    components = build_components(settings)
    assert components.clerk is not None
    async with open_components(components):
        work = Backfill(
            clerk=components.clerk,
            provisioning=components.provisioning,
            concurrency=settings.provisioning_concurrency,
            outage_seconds=outage_seconds,
        )
        await work.count_users()
        return await work.run(advance)


def test_without_clerks_key_it_is_a_configuration_error(variables: dict[str, str]) -> None:
    """Exit 78, and the variable is named."""
    code, stdout, stderr = run(variables | {"CLERK_SECRET_KEY": ""})

    assert (code, stdout) == (78, "")
    assert "CLERK_SECRET_KEY" in stderr


def test_a_key_that_clerk_refuses_is_tried_once(clerk: Clerk, variables: dict[str, str], backboard: Sandbox) -> None:
    """A second try would change nothing."""
    code, _, stderr = run(variables | {"CLERK_SECRET_KEY": "sk_test_other"})

    assert (code, creates(backboard)) == (1, 0)
    assert "clerk_refused" in stderr
    assert "sk_test" not in stderr
    assert len(clerk.calls()) == 1


def test_an_instance_without_users_is_a_success(backfill: Run) -> None:
    code, stdout, _ = backfill()

    assert (code, outcomes(stdout)) == (0, {})


def test_a_terminal_gets_a_progress_bar_and_a_file_gets_lines(
    clerk: Clerk, variables: dict[str, str], backboard: Sandbox, database: Database
) -> None:
    """Both on stderr: stdout has the last line alone."""
    add_users(clerk, 40)
    backboard.switches.latency = 0.6
    code, _, lines = run(variables)
    assert code == 0
    assert len(re.findall(r"^\d+ of 40 users$", lines, re.MULTILINE)) >= 2
    assert "%" not in lines

    our_end, terminal = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "app", "backfill"],
        cwd=commands.ROOT,
        env={"PATH": os.environ["PATH"], "TERM": "xterm", **variables},
        stdout=subprocess.DEVNULL,
        stderr=terminal,
        check=True,
        timeout=30,
    )
    os.close(terminal)
    drawn = os.read(our_end, 100_000)
    os.close(our_end)
    assert b"100%" in drawn
    assert count(database) == 40
