"""Where the server listens: on IPv6 and IPv4 where the machine has both."""

import errno
import socket

import pytest

from app.http import server
from app.http.server import CannotListen
from tools.processes import free_port


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.2",
        "localhost",
        pytest.param("::1", marks=ipv6),
        pytest.param("::ffff:127.0.0.1", marks=ipv6),
    ],
)
def test_every_address_of_this_machine_is_listened_on(host: str) -> None:
    with server._listening(0) as listening:
        listening.listen()

        socket.create_connection((host, listening.getsockname()[1]), timeout=5).close()


@pytest.mark.parametrize("missing", ["the family", "the address"])
def test_without_ipv6_only_ipv4_is_listened_on(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = server._bound

    def without_ipv6(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return bound(family, address)

    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: missing != "the family")
    monkeypatch.setattr(server, "_bound", without_ipv6)

    with server._listening(0) as listening:
        assert listening.family == socket.AF_INET


@pytest.mark.parametrize(
    ("family", "host"),
    [
        (socket.AF_INET, "0.0.0.0"),
        (socket.AF_INET, "127.0.0.1"),
        pytest.param(socket.AF_INET6, "::", marks=ipv6),
        pytest.param(socket.AF_INET6, "::1", marks=ipv6),
    ],
)
def test_port_that_is_taken_at_one_address_is_taken(family: socket.AddressFamily, host: str) -> None:
    """Otherwise `localhost` would reach one program or the other, as its client likes."""
    with socket.create_server((host, 0), family=family) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(CannotListen, match=f"PORT={port} cannot be used: Address already in use"):
            server._listening(port)


def test_connections_that_are_still_closing_do_not_take_the_port() -> None:
    """As after a restart."""
    port = free_port()
    with server._listening(port) as before:
        before.listen()
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = before.accept()
            accepted.close()

    server._listening(port).close()
