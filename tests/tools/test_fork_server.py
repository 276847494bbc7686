"""A forked process is the same as `python -m app`, started in a tenth of the time."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support import commands
from tools.fork_server import ForkedProcess, ForkServer
from tools.processes import is_running, responds

SERVE = {
    "DATABASE_URL": "postgresql://app@127.0.0.1:1/app",
    "BACKBOARD_API_KEY": "espr_canary",
    "CLERK_WEBHOOK_SIGNING_SECRET": "whsec_" + "QUFB" * 8,
}


def start(folder: Path, *words: str, **variables: str) -> ForkedProcess:
    environment = {"PATH": os.environ["PATH"], **variables}
    return commands.fork_server().start(words, environment, stdout=folder / "out", stderr=folder / "err", cwd=folder)


@pytest.mark.parametrize("words", [["--help"], ["nonsense"], ["migrate"], ["serve", "now"]], ids=" ".join)
def test_a_forked_command_prints_and_returns_the_same_as_a_started_one(words: list[str], tmp_path: Path) -> None:
    forked = start(tmp_path, *words)

    code = forked.wait(30)

    assert (code, (tmp_path / "out").read_text(), (tmp_path / "err").read_text()) == commands.run_unforked(*words)


def test_a_forked_process_has_its_own_environment_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither ours nor those of the fork server: here the settings come from the .env in its folder."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://app@127.0.0.1:1/app")
    (tmp_path / ".env").write_text("DATABASE_URL=canary\n")

    assert start(tmp_path, "migrate").wait(30) == 78
    assert "DATABASE_URL" in (tmp_path / "err").read_text()


def test_a_forked_server_is_stopped_and_killed_like_any_other(tmp_path: Path) -> None:
    servers = [commands.fork_server().start_http(SERVE, log=tmp_path / f"log{number}") for number in range(2)]
    for server in servers:
        server.wait_until_ready(responds(server.url, "/healthz"))

    assert servers[0].kill() == -signal.SIGKILL
    assert servers[1].stop() in {0, -signal.SIGTERM}
    assert "event=starting" in servers[0].log_text()
    assert not any(is_running(server.pid) for server in servers)


def test_waiting_for_a_forked_process_has_a_limit(tmp_path: Path) -> None:
    server = commands.fork_server().start_http(SERVE, log=tmp_path / "log")
    with pytest.raises(subprocess.TimeoutExpired):
        server.wait(0.01)

    server.kill()


def test_forked_processes_end_with_the_fork_server(tmp_path: Path) -> None:
    with ForkServer() as fork_server:
        server = fork_server.start_http(SERVE, log=tmp_path / "log")
        server.wait_until_ready(responds(server.url, "/healthz"))

    assert not is_running(server.pid)
