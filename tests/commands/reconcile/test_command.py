"""Reconcile as a command: its options, its report, its exit codes, signals."""

import asyncio
import json
import signal
import threading

import pytest

from app.commands.reconcile.report import as_json
from tests.commands.reconcile.drifting import Database, Run, add_to_clerk, make_drift, sign_up
from tests.support import commands
from tests.support.factories import Person
from tests.support.service import Service
from tools.sandbox.backboard import Sandbox
from tools.sandbox.clerk import Clerk
from tools.sandbox.faults import held

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "words", ["everything", "--min-age -1", f"--min-age {9**15}", "--keep-days soon", "--keep-days 999999", "--force"]
)
async def test_wrong_arguments_are_a_usage_error(words: str) -> None:
    """The environment is not read before."""
    assert (await asyncio.to_thread(commands.run, "reconcile", *words.split()))[0] == 2


async def test_the_json_report_has_the_findings_and_the_counts(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, run: Run
) -> None:
    """Counts by kind and state, and the ids of every finding."""
    drift = await make_drift(service, clerk, database, backboard)

    document = json.loads(as_json(await run(apply=False)))

    assert (document["applied"], document["clean"], document["users"]) == (False, False, 6)
    assert {kind: counts["found"] for kind, counts in document["counts"].items()} == dict.fromkeys(drift, 1)
    assert 0 <= document["last_change_seconds"] < 60
    assert {(each["kind"], each["clerk_id"]) for each in document["findings"]} == {
        (kind, person.clerk_id) for kind, person in drift.items()
    }


async def test_each_end_has_its_exit_code_and_nothing_personal_is_printed(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, with_clerk: dict[str, str]
) -> None:
    """1 while something is left, 0 when all is repaired, 3 for a refusal, 78 without the key that is needed."""
    await make_drift(service, clerk, database, backboard)

    async def reconcile(*words: str, **more: str) -> tuple[int, str, str]:
        process = commands.start("reconcile", *words, **(with_clerk | more))  # type: ignore[arg-type]  # No checkout.
        return await asyncio.to_thread(commands.finish, process)

    runs = [
        await reconcile("--all"),
        await reconcile("--all", "--json"),
        await reconcile("--all", "--apply", "--min-age", "0", "--keep-days", "0"),
        await reconcile("--all"),
        await reconcile(),
        await reconcile("--all", CLERK_SECRET_KEY=""),
    ]
    clerk.switches.uncounted = 1
    runs.append(await reconcile("--all", "--json"))

    assert [code for code, _, _ in runs] == [1, 1, 0, 0, 0, 78, 3]
    assert json.loads(runs[1][1])["looked_at"] == "everybody"
    assert "CLERK_SECRET_KEY" in runs[5][2]
    assert json.loads(runs[6][1]) == {"refused": "Clerk listed 6 users, and Clerk counts 7"}
    assert runs[6][2].startswith("Refused, and nothing was changed: ")
    for _, stdout, stderr in runs:
        assert "canary" not in (stdout + stderr).lower()
        assert "@" not in stdout + stderr


async def test_the_longest_grace_periods_are_valid(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, with_clerk: dict[str, str]
) -> None:
    """Every finding that has a grace period waits."""
    await make_drift(service, clerk, database, backboard)
    (person,) = await sign_up(service, clerk)
    backboard.make_assistant(f"orphan:2026-01-01:{person.assistant_name}")
    words = ("--all", "--json", "--min-age", str(36_500 * 86_400), "--keep-days", "36500")

    code, stdout, stderr = await asyncio.to_thread(
        commands.finish,
        commands.start("reconcile", *words, **with_clerk),  # type: ignore[arg-type]  # No checkout.
    )

    assert (code, stderr) == (1, "")
    assert json.loads(stdout)["counts"]["duplicate"]["waiting"] == 2


async def test_a_signal_ends_a_run_after_the_create_under_way(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, with_clerk: dict[str, str]
) -> None:
    """A second signal does not interrupt the clean-up after the first: no create is left in doubt."""
    await sign_up(service, clerk)
    missing = Person()
    add_to_clerk(clerk, missing)
    gate = threading.Event()
    backboard.next_create(held(gate))
    process = commands.start("reconcile", "--all", "--apply", **with_clerk)  # type: ignore[arg-type]  # No checkout.
    await asyncio.to_thread(backboard.wait_for, lambda: len(backboard.calls(kind="create")) == 2, seconds=15)

    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
    assert process.poll() is None
    gate.set()
    code, _, stderr = await asyncio.to_thread(commands.finish, process)

    assert (code, stderr) == (1, "Error: Stopped before the end; run it again and it goes on.\n")
    row = database.execute("SELECT 1 FROM users WHERE clerk_id = %s", [missing.clerk_id]).fetchone()
    assert row is not None
    assert database.execute("SELECT 1 FROM provisioning_attempts").fetchone() is None
