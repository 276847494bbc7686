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


def run(*words: str, typed: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(PROGRAM), *words]
    variables["PATH"] = os.environ["PATH"]
    return subprocess.run(command, env=variables, input=typed, capture_output=True, text=True, timeout=60, check=False)


def chat(server: ServerProcess, person: Person, *lines: str) -> list[str]:
    """The lines that the program prints when these are typed."""
    done = run(person.clerk_id, typed="\n".join(lines), SERVICE_URL=server.url, SERVICE_TOKEN=factories.TOKEN)
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


MISTAKES = {
    "no user": ([], {"SERVICE_TOKEN": "x"}, "SERVICE_TOKEN holds one"),
    "no token": (["user_1"], {}, "SERVICE_TOKEN holds one"),
    "a token that no header takes": (["user_1"], {"SERVICE_TOKEN": "\u00e4\n"}, "SERVICE_URL its address"),
    "no address": (["user_1"], {"SERVICE_TOKEN": "x", "SERVICE_URL": "nowhere"}, "SERVICE_URL its address"),
    "no server": (["user_1"], {"SERVICE_TOKEN": "x", "SERVICE_URL": "http://127.0.0.1:9"}, "SERVICE_URL its address"),
    "a port that is none": (["user_1"], {"SERVICE_TOKEN": "x", "SERVICE_URL": "http://a:b"}, "SERVICE_URL its address"),
}


@pytest.mark.parametrize(("words", "variables", "sentence"), MISTAKES.values(), ids=MISTAKES)
async def test_a_mistake_is_a_sentence_that_names_the_variables(
    words: list[str], variables: dict[str, str], sentence: str
) -> None:
    """Exit 1, and never a traceback."""
    done = run(*words, **variables)

    assert (done.returncode, done.stdout) == (1, "")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_refusal_or_another_program_is_a_sentence(lasting_server: ServerProcess) -> None:
    """With the status; the probe of another path answers with another shape."""
    for url in (lasting_server.url, f"{lasting_server.url}/healthz?"):
        done = run("user_1", SERVICE_URL=url, SERVICE_TOKEN="canary-token-of-nobody")

        assert (done.returncode, done.stdout) == (1, "")
        assert "SERVICE_TOKEN holds one of" in done.stderr
        assert "Traceback" not in done.stderr


def test_it_is_no_longer_than_the_readme_says() -> None:
    """60 lines, its docstrings included."""
    assert len(PROGRAM.read_text().splitlines()) <= 60
