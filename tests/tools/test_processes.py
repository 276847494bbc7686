"""Server processes: waited for until they are ready, stopped with one signal after the other, killed."""

import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.processes import NotReady, ServerProcess, responds, start, start_http

SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: print("SIGTERM", flush=True))
print("started", flush=True)
time.sleep(60)
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_server_is_ready_once_readyz_is_200(tmp_path: Path) -> None:
    """It listens on a free port by default."""
    with start_http(python(SERVER), {}, log=tmp_path / "log") as server:
        server.wait_until_ready()

        assert responds(server.url)()
        assert responds(server.url, "/other", 404)()

    assert server.exit_code == -signal.SIGTERM
    assert not responds(server.url)()


def test_a_server_that_ends_is_not_ready(tmp_path: Path) -> None:
    """At once, and not after the whole time; its log says why."""
    server = start(python("raise SystemExit('no reason')"), {}, log=tmp_path / "log")

    with pytest.raises(NotReady, match="has ended with 1"):
        server.wait_until_ready(lambda: False, seconds=60)

    assert server.log_text() == "no reason\n"


def test_a_server_that_is_never_ready_is_given_up(tmp_path: Path) -> None:
    with start(python("import time; time.sleep(60)"), {}, log=tmp_path / "log") as server:
        with pytest.raises(NotReady, match="is not ready"):
            server.wait_until_ready(lambda: False, seconds=0.1)

        assert server.exit_code is None


def test_a_server_that_ignores_its_signals_is_killed(tmp_path: Path) -> None:
    """The signals come one after the other."""
    server = start(python(STUBBORN), {}, log=tmp_path / "log")
    server.wait_until_ready(lambda: "started" in server.log_text())

    assert server.stop(seconds=0.2) == -signal.SIGKILL
    assert server.log_text() == "started\nSIGTERM\n"


def test_a_server_gets_the_given_environment_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "ours")
    server = start(
        python("import os; print(os.environ.get('CANARY'), os.environ['GIVEN'])"),
        {"GIVEN": "theirs"},
        log=tmp_path / "log",
    )

    assert server.wait(20) == 0
    assert server.log_text() == "None theirs\n"


class Child:
    """A process that ends with 7, and remembers how long it was waited for."""

    pid = 1
    args: Any = ()
    returncode = 7

    def __init__(self) -> None:
        self.limits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> int:
        self.limits.append(timeout)
        return self.returncode

    def poll(self) -> int | None:
        return None

    def send_signal(self, sig: int) -> None:
        pass

    def kill(self) -> None:
        pass


@pytest.mark.parametrize(("arguments", "limit"), [((), None), ((3.0,), 3.0)])
def test_a_server_is_waited_for_without_a_limit_unless_one_is_given(
    arguments: tuple[float, ...], limit: float | None
) -> None:
    """`./dev run` serves until Ctrl-C: with the limit of a server that stops, it ended after 30 seconds."""
    child = Child()

    assert ServerProcess(child).wait(*arguments) == child.returncode
    assert child.limits == [limit]
