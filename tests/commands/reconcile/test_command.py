"""Reconcile as a command: its words, its report, its exit codes, its end."""

import asyncio
import json
import signal
import threading

import pytest

from app.commands.reconcile.report import as_json
from tests.commands.reconcile.drifting import Database, Run, know, make_a_mess, sign_up
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
async def test_wrong_words_are_a_usage_error(words: str) -> None:
    """Before the environment is even read."""
    assert (await asyncio.to_thread(commands.run, "reconcile", *words.split()))[0] == 2


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
    assert json.loads(runs[6][1]) == {"refused": "Clerk listed 6 users, and Clerk counts 7"}
    assert runs[6][2].startswith("Refused, and nothing was changed: ")
    for _, output, complaints in runs:
        assert "canary" not in (output + complaints).lower()
        assert "@" not in output + complaints


async def test_the_longest_waits_are_no_error(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, with_clerk: dict[str, str]
) -> None:
    """Whatever is found waits, in a run of this century."""
    await make_a_mess(service, clerk, database, backboard)
    (person,) = await sign_up(service, clerk)
    backboard.make_assistant(f"orphan:2026-01-01:{person.assistant_name}")
    words = ("--all", "--json", "--min-age", str(36_500 * 86_400), "--keep-days", "36500")

    code, output, complaints = await asyncio.to_thread(
        commands.finish,
        commands.start("reconcile", *words, **with_clerk),  # type: ignore[arg-type]  # No checkout.
    )

    assert (code, complaints) == (1, "")
    assert json.loads(output)["counts"]["duplicate"]["waiting"] == 2


async def test_signals_end_a_run_only_once_what_is_under_way_is_done(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, with_clerk: dict[str, str]
) -> None:
    """A second signal does not break off the end that the first began: no create is left in doubt."""
    await sign_up(service, clerk)
    missing = Person()
    know(clerk, missing)
    gate = threading.Event()
    backboard.next_create(held(gate))
    process = commands.start("reconcile", "--all", "--apply", **with_clerk)  # type: ignore[arg-type]  # No checkout.
    await asyncio.to_thread(backboard.wait_for, lambda: len(backboard.calls(kind="create")) == 2, seconds=15)

    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
    assert process.poll() is None
    gate.set()
    code, _, complaints = await asyncio.to_thread(commands.finish, process)

    assert (code, complaints) == (1, "Error: Stopped before the end; run it again and it goes on.\n")
    row = database.execute("SELECT 1 FROM users WHERE clerk_id = %s", [missing.clerk_id]).fetchone()
    assert row is not None
    assert database.execute("SELECT 1 FROM provisioning_attempts").fetchone() is None
