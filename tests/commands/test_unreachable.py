"""Commands when the database, Backboard or Clerk does not answer: they say why, without an address."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.commands.doctor import database
from app.commands.doctor.command import examine
from app.commands.doctor.database import OF_ROWS, OF_SESSION
from tests.support import commands
from tests.support.environment import complete_environment
from tools.processes import free_port
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import html, status
from tools.sandbox.clerk import LOCAL_KEY, Clerk, refuses
from tools.sandbox.faults import Fault, drops, garbage, redirect

pytestmark = pytest.mark.anyio


@pytest.fixture
def dead() -> str:
    """An address where nothing listens."""
    return f"postgresql://canary:canary@127.0.0.1:{free_port()}/canary"


@pytest.fixture
def clerk() -> Iterator[Clerk]:
    with Clerk() as clerk:
        yield clerk


@pytest.fixture
def healthy(variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without a fault, for the test to change."""
    complete_environment(monkeypatch, tmp_path)
    monkeypatch.setattr(database, "CONNECT_SECONDS", 0.5)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


async def run_doctor() -> tuple[int, str, dict[str, str]]:
    """The exit code, the whole text, and the line of each subject that is wrong."""
    lines: list[str] = []
    code = await examine(lines.append)
    return code, "\n".join(lines), dict(re.findall(r"^wrong +(\S+(?: \S+)?) {2,}(.+)$", "\n".join(lines), re.MULTILINE))


@pytest.mark.parametrize(("command", "lines_on_stderr"), [("doctor", 0), ("seed", 1)])
async def test_a_command_without_a_database_exits_with_1(
    command: str, lines_on_stderr: int, variables: dict[str, str], dead: str
) -> None:
    """Neither the command nor the driver's own warnings quote the address; migrate has tests of its own."""
    process = commands.start(command, checkout=commands.ROOT, **(variables | {"DATABASE_URL": dead}))
    code, output, errors = await asyncio.to_thread(commands.finish, process, 25.0)

    assert code == 1
    assert not re.search(r"canary|127\.0\.0\.1|Traceback|\d{5}", output + errors)
    assert len(errors.splitlines()) == lines_on_stderr


async def test_reconcile_without_a_database_exits_with_1_and_not_3(variables: dict[str, str], dead: str) -> None:
    """3 would say that reconcile has refused to go on because the data look dangerous."""
    process = commands.start("reconcile", checkout=commands.ROOT, **(variables | {"DATABASE_URL": dead}))
    code, output, errors = await asyncio.to_thread(commands.finish, process, 25.0)

    assert (code, output) == (1, "")
    assert errors.splitlines()[-1] == "Error: The database cannot be used (database_down); `doctor` says more."


async def test_doctor_has_a_line_for_each_subject_even_without_a_database_or_configuration(
    healthy: pytest.MonkeyPatch, variables: dict[str, str], dead: str
) -> None:
    """What cannot be examined is unknown."""
    healthy.setenv("DATABASE_URL", dead)
    _, without_database, wrong = await run_doctor()
    for name in variables:
        healthy.delenv(name)
    _, without_anything, _ = await run_doctor()

    assert wrong == {"database": "it cannot be used: nothing listens at that host and port"}
    for what in ("connections", *OF_SESSION, *OF_ROWS):
        assert re.search(f"^unknown +{what} ", without_database, re.MULTILINE)
    for what in (
        "database",
        "connections",
        "session",
        "schema",
        "rights",
        "open doubts",
        "positions",
        "last change",
        "Backboard",
        "Clerk",
    ):
        assert re.search(f"^unknown +{what} ", without_anything, re.MULTILINE)


@pytest.mark.parametrize(
    ("fault", "words", "variable"),
    [
        (status(402), "BACKBOARD_API_KEY", "BACKBOARD_API_KEY"),
        (redirect("http://127.0.0.1/canary"), "BACKBOARD_API_URL", "BACKBOARD_API_URL"),
        (status(429), "come back later", "BACKBOARD_API_URL"),
        (status(503), "answered with an error", "BACKBOARD_API_URL"),
        (html(), "cannot be read", "BACKBOARD_API_URL"),
        (drops(), "closed the connection early", "BACKBOARD_API_URL"),
    ],
    ids=["402", "redirect", "429", "503", "html", "drops"],
)
async def test_doctor_explains_a_failure_of_backboard_and_names_the_variable(
    healthy: pytest.MonkeyPatch,  # noqa: ARG001  # Sets the variables.
    backboard: Sandbox,
    fault: Fault,
    words: str,
    variable: str,
) -> None:
    backboard.always("any", fault)

    code, text, wrong = await run_doctor()

    assert (code, list(wrong)) == (1, ["Backboard"])
    assert words in wrong["Backboard"]
    assert variable in text.partition("What to do next:")[2]
    assert "canary" not in text


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (refuses(401), "refused our key"),
        (refuses(429, retry_after="7"), "come back later"),
        (refuses(500), "answered with an error"),
        (garbage(b'{"total_count": "canary"}'), "not Clerk's API"),
        (drops(), "did not answer"),
    ],
    ids=["401", "429", "500", "no_number", "drops"],
)
async def test_doctor_explains_a_failure_of_clerk(
    healthy: pytest.MonkeyPatch, clerk: Clerk, fault: Fault, words: str
) -> None:
    """Only a refusal names the key."""
    healthy.setenv("CLERK_API_URL", clerk.url)
    healthy.setenv("CLERK_SECRET_KEY", LOCAL_KEY)
    clerk.always("any", fault)

    code, text, wrong = await run_doctor()

    assert (code, list(wrong)) == (1, ["Clerk"])
    assert words in wrong["Clerk"]
    assert ("CLERK_SECRET_KEY" in text.partition("What to do next:")[2]) == ("our key" in words)
    assert "canary" not in text
