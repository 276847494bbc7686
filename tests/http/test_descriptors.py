"""File descriptors: as many as the system allows, and a line in the log when none is left."""

import os
import resource
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.http.descriptors import DescriptorWatch, raise_limit
from tests.support.asgi import Log
from tools.processes import ServerProcess, responds, wait_until


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    """Those of this process, which the test may lower."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def in_use() -> int:
    """A number that no descriptor of this process reaches."""
    return max(int(name) for name in os.listdir("/dev/fd")) + 1  # noqa: PTH208  # Names.


def test_soft_limit_is_raised_to_the_hard_one(limits: tuple[int, int]) -> None:
    _, hard = limits
    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use() + 20, hard))

    raise_limit()

    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)


def test_limit_that_the_system_refuses_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of macOS is infinite, and takes no such number."""

    def refuse(*_: object) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)

    raise_limit()


def test_line_is_written_when_no_descriptor_is_left_and_not_once_a_second(log: Log, limits: tuple[int, int]) -> None:
    watch = DescriptorWatch()
    watch.look(connections=1)
    assert log.lines() == []

    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use(), limits[1]))
    with ExitStack() as taken:
        with suppress(OSError):
            while True:
                taken.enter_context(Path(os.devnull).open())
        watch.look(connections=7)
        watch.look(connections=7)

    line = log.line()
    assert (line["level"], line["event"], line["connections"]) == ("error", "out_of_descriptors", 7)
    assert "ulimit" in line["hint"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux changes the limits of another process")
def test_server_says_that_it_resets_clients_and_serves_again(lasting_server: ServerProcess, database: object) -> None:  # noqa: ARG001  # Starts.
    server = lasting_server
    soft, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    assert soft == hard
    taken = len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (taken + 3, hard))
    try:
        with ExitStack() as clients:
            for _ in range(20):
                clients.enter_context(socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0)))
            wait_until(lambda: "event=out_of_descriptors" in server.log_text())
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (soft, hard))

    wait_until(responds(server.url, "/healthz"))
