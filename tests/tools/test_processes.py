"""How the servers of the tools and tests are waited for."""

from typing import Any

import pytest

from tools.processes import ServerProcess


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
