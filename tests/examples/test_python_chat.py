"""examples/python, run as a reader runs it: a conversation goes on, whatever fails and stops meanwhile."""

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import MagicMock

import psycopg
import pytest
from clerk_backboard_sync import NoAnswer

from tests.support import factories
from tools.processes import ROOT, ServerProcess, free_port
from tools.sandbox.backboard import Sandbox, faults

PROGRAM = ROOT / "examples" / "python" / "chat.py"


def command(*words: str) -> list[str]:
    return [sys.executable, "-W", "error", "-u", str(PROGRAM), *words]


def environment(**variables: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "clients" / "python"), **variables}


@contextmanager
def chat(port: str, backboard: Sandbox) -> Iterator[subprocess.Popen[str]]:
    """The program with its terminal: lines in, lines out, and what went wrong in stderr."""
    variables = environment(
        SERVICE_URL=f"http://127.0.0.1:{port}",
        SERVICE_TOKEN=factories.TOKEN,
        BACKBOARD_API_URL=backboard.url,
        BACKBOARD_API_KEY=factories.API_KEY,
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(command(), env=variables, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def type_line(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin
    process.stdin.write(line + "\n")
    process.stdin.flush()


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def read_trouble(process: subprocess.Popen[str]) -> str:
    assert process.stderr
    return process.stderr.readline().strip()


def test_a_conversation_survives_what_fails_meanwhile(
    start_server: Callable[..., ServerProcess], database: psycopg.Connection[Any], backboard: Sandbox
) -> None:
    """Backboard fails, the service restarts, and Ctrl-C cuts an answer, which the next start asks for again."""
    port = str(free_port())
    server = start_server(PORT=port)
    backboard.next("create", faults.status(429, retry_after="1"))

    with chat(port, backboard) as process:
        type_line(process, "Hello")
        assert read_line(process) == "assistant: You said: Hello"
        assert "Trying again" in read_trouble(process)
        backboard.next("send_message", faults.error_event())
        type_line(process, "Where?")
        read_line(process)
        assert "An empty line asks again" in read_trouble(process)
        type_line(process, "")
        assert read_line(process) == "assistant: You said: Where?"
        server.stop()
        type_line(process, "Still there?")
        assert "Trying again" in read_trouble(process)
        server = start_server(PORT=port)
        assert read_line(process) == "assistant: You said: Still there?"
        backboard.switches.stream_pace = 0.5
        type_line(process, "Wait!")
        assert process.stdout
        assert process.stdout.read(len("assistant: You ")) == "assistant: You "
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert "The same command goes on" in read_trouble(process) + read_trouble(process)

    backboard.switches.stream_pace = 0
    with chat(port, backboard) as process:
        shown, _ = process.communicate("")

    said = ["Hello", "Where?", "Still there?", "Wait!"]
    assert shown.splitlines() == [line for text in said for line in (f"user: {text}", f"assistant: You said: {text}")]
    rows = database.execute("SELECT metadata FROM messages WHERE role = 'assistant'").fetchall()
    assert [row["metadata"]["model"] for row in rows] == ["gpt-4o"] * 4
    assert all(row["metadata"]["tokens"] > 0 for row in rows)
    assert len(database.execute("SELECT FROM sessions").fetchall()) == 1


TOKENS = {"SERVICE_TOKEN": "canary-of-no-service", "BACKBOARD_API_KEY": "no-key"}
MISTAKES = {
    "no token": ({"BACKBOARD_API_KEY": "x"}, "SERVICE_TOKEN is not set"),
    "no key": ({"SERVICE_TOKEN": "x"}, "BACKBOARD_API_KEY is not set"),
    "a wrong token": (TOKENS, "SERVICE_TOKEN is none of the service's"),
    "a token that no header takes": (TOKENS | {"SERVICE_TOKEN": "\u00e4\n"}, "SERVICE_TOKEN      one of"),
    "no server": (TOKENS | {"SERVICE_URL": "http://127.0.0.1:9"}, "SERVICE_URL        of the service"),
    "a wrong key": (TOKENS | {"SERVICE_TOKEN": factories.TOKEN}, "Backboard refused BACKBOARD_API_KEY"),
    "no Backboard": (
        {"SERVICE_TOKEN": factories.TOKEN, "BACKBOARD_API_KEY": "x", "BACKBOARD_API_URL": "nowhere"},
        "An empty line asks again",
    ),
}


@pytest.mark.parametrize(("variables", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_a_sentence_that_names_the_variable(
    lasting_server: ServerProcess, backboard: Sandbox, variables: dict[str, str], sentence: str
) -> None:
    """Never a traceback, and never the token."""
    addresses = {"SERVICE_URL": lasting_server.url, "BACKBOARD_API_URL": backboard.url}

    done = subprocess.run(
        command(factories.Person().clerk_id),
        env=environment(**addresses | variables),
        input="Hello\n",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == (0 if "An empty line" in sentence else 1)
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert "canary" not in done.stderr


def test_a_message_keeps_its_id_until_it_is_answered() -> None:
    """The service may have stored it although its answer was lost."""
    specification = importlib.util.spec_from_file_location("chat", PROGRAM)
    assert specification
    assert specification.loader
    program = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(program)
    service = MagicMock()
    lost = NoAnswer("lost")
    lost.retry_after = 0
    service.add_message.side_effect = [lost, lost, {}]
    program.Conversation(service, MagicMock(), "user_1", "chat", None).say("Hello")

    ids = {call.args[1]["id"] for call in service.add_message.call_args_list}
    assert (service.add_message.call_count, len(ids)) == (3, 1)
