"""docs/chat_backend.py, run as a reader runs it: its conversation survives a restart of the service."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.support import factories
from tests.support.factories import Person, user_created
from tests.support.service import connected_to
from tools.processes import ROOT, ServerProcess
from tools.sandbox.backboard import Sandbox

pytestmark = pytest.mark.anyio

PROGRAM = ROOT / "docs" / "chat_backend.py"


def chat(server: ServerProcess, person: Person, *lines: str) -> list[str]:
    """The lines that the program prints when these are typed."""
    variables = {"PATH": os.environ["PATH"], "SERVICE_URL": server.url, "SERVICE_TOKEN": factories.TOKEN}
    command = [sys.executable, "-W", "error", str(PROGRAM), person.clerk_id]
    done = subprocess.run(
        command, env=variables, input="\n".join(lines), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


async def test_a_conversation_continues_after_a_restart(
    start_server: Callable[..., ServerProcess], database: psycopg.Connection[Any], backboard: Sandbox
) -> None:
    """Sign-up by webhook, a session, ten messages, a restart: the history is the same, and so is the session."""
    person, server = Person(), start_server()
    async with connected_to(server) as service:
        assert (await service.deliver(user_created(person))).json() == {"outcome": "created"}

    said = chat(server, person, *(f"Canary {number}" for number in range(5)))
    server.stop()
    remembered = chat(start_server(), person)

    assert remembered == said
    assert said[-2:] == ["user: Canary 4", "assistant: You said 'Canary 4'; that is message 9."]
    assert len(said) == 10
    (session,) = database.execute("SELECT * FROM sessions").fetchall()
    assert [thread.id for thread in backboard.threads()] == [session["thread_id"]]


def test_it_is_no_longer_than_the_readme_says() -> None:
    """60 lines, its docstrings included."""
    assert len(PROGRAM.read_text().splitlines()) <= 60
