"""What an address leads to: the host, the service file and the PG* variables, as libpq itself reads them."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from app.postgres.pool import CONNECT_SECONDS, connect_seconds, connection_string
from app.settings import DatabaseSettings, load
from app.settings.database_address import is_on_this_machine, resolve
from tests.support.environment import complete_environment, problems

SERVICES = """\
[far]
host=db.canary.example
connect_timeout=7
[near]
host=localhost
[strict]
host=db.canary.example
sslmode=verify-full
[numeric]
hostaddr=10.0.0.1
"""


@pytest.fixture(autouse=True)
def service_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    complete_environment(monkeypatch, tmp_path)
    (tmp_path / "services").write_text(SERVICES)
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))


@pytest.fixture
def sslmode(monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """The sslmode that the service adds to a DATABASE_URL beside these variables."""

    def found(url: str, **variables: str) -> object:
        for name, value in {"DATABASE_URL": url, **variables}.items():
            monkeypatch.setenv(name, value)
        return conninfo_to_dict(load(DatabaseSettings).database_url.get_secret_value()).get("sslmode")

    return found


REMOTE = {
    "PGHOST": ("postgresql:///app", {"PGHOST": "db.canary.example"}),
    "PGHOST of several hosts": ("postgresql:///app", {"PGHOST": "localhost,db.canary.example"}),
    "PGHOSTADDR": ("postgresql://localhost/app", {"PGHOSTADDR": "10.0.0.1"}),
    "PGHOSTADDR of some hosts": ("postgresql:///app", {"PGHOST": "localhost,a.example", "PGHOSTADDR": "127.0.0.1,"}),
    "PGSERVICE": ("postgresql:///app", {"PGSERVICE": "far"}),
    "a service with hostaddr": ("postgresql:///app", {"PGSERVICE": "numeric"}),
    "a service in the address": ("postgresql:///app?service=far", {}),
    "PGSSLMODE turns it off": ("postgresql://db.canary.example/app", {"PGSSLMODE": "disable"}),
    "PGSSLMODE only prefers it": ("postgresql:///app?service=far", {"PGSSLMODE": "prefer"}),
}


@pytest.mark.parametrize(("url", "variables"), REMOTE.values(), ids=REMOTE)
def test_tls_is_demanded_whatever_names_another_machine(
    url: str, variables: dict[str, str], sslmode: Callable[..., object]
) -> None:
    assert sslmode(url, **variables) == "require"


@pytest.mark.parametrize(
    ("url", "variables"),
    [
        ("postgresql:///app?service=strict", {}),
        ("postgresql:///app", {"PGHOST": "db.canary.example", "PGSSLMODE": "verify-full"}),
        ("postgresql:///app?sslmode=verify-full", {"PGHOST": "db.canary.example", "PGSSLMODE": "prefer"}),
    ],
)
def test_a_stricter_mode_from_anywhere_is_kept(
    url: str, variables: dict[str, str], sslmode: Callable[..., object]
) -> None:
    assert sslmode(url, **variables) == "verify-full"


@pytest.mark.parametrize(
    ("url", "variables"),
    [
        ("postgresql:///app", {}),
        ("postgresql:///app?service=near", {}),
        ("postgresql:///app", {"PGSERVICE": "near"}),
        ("postgresql:///app", {"PGHOST": "/run/postgresql"}),
        ("postgresql://localhost/app", {"PGHOST": "db.canary.example"}),
        ("postgresql://db.canary.example/app", {"PGHOSTADDR": "127.0.0.1"}),
    ],
)
def test_this_machine_needs_no_tls(url: str, variables: dict[str, str], sslmode: Callable[..., object]) -> None:
    assert sslmode(url, **variables) is None


@pytest.mark.parametrize(("url", "service"), [("postgresql:///app?service=gone", None), ("postgresql:///app", "gone")])
def test_a_service_that_is_not_found_is_named(url: str, service: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command would fail to connect."""
    monkeypatch.setenv("DATABASE_URL", url)
    if service:
        monkeypatch.setenv("PGSERVICE", service)

    (problem,) = problems()
    assert "DATABASE_URL" in problem
    assert "service" in problem


@pytest.mark.parametrize(
    ("url", "variables", "seconds"),
    [
        ("postgresql://localhost/app", {}, CONNECT_SECONDS),
        ("postgresql://localhost/app?connect_timeout=10", {}, 10),
        ("postgresql://localhost/app?connect_timeout=0", {}, 0),
        ("postgresql://localhost/app", {"PGCONNECT_TIMEOUT": "9"}, 9),
        ("postgresql:///app?service=far", {}, 7),
        ("postgresql:///app?service=far&connect_timeout=8", {"PGCONNECT_TIMEOUT": "9"}, 8),
        ("postgresql://localhost/app?connect_timeout=nonsense", {}, CONNECT_SECONDS),
    ],
)
def test_a_new_connection_may_take_as_long_as_psql_gives_it(
    url: str, variables: dict[str, str], seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hosts that sleep need seconds to wake; without a word of anybody, more than those need."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert connect_seconds(url) == seconds
    assert conninfo_to_dict(connection_string(url))["connect_timeout"] == str(seconds)


def test_resolving_an_address_connects_to_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        address = resolve(f"postgresql://app@127.0.0.1:{server.getsockname()[1]}/app?options=-csearch_path%3Dchat")

        with pytest.raises(BlockingIOError):
            server.accept()
    assert (address["host"], address["user"], address["options"]) == ("127.0.0.1", "app", "-csearch_path=chat")


def test_libpqs_variables_decide_where_the_address_has_no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example")

    assert not is_on_this_machine("postgresql:///app")
    assert is_on_this_machine("postgresql://localhost/app")
    monkeypatch.setenv("PGHOSTADDR", "10.0.0.1")
    assert not is_on_this_machine("postgresql://localhost/app")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://app@localhost/app", True),
        ("postgresql://app@127.0.0.1:5433/app", True),
        ("postgresql://app@[::1]/app", True),
        ("postgresql:///app?host=/run/postgresql", True),
        ("postgresql:///app", True),
        ("postgresql://app@db.example/app", False),
        ("postgresql://app@10.0.0.1/app", False),
        ("postgresql://app@localhost.example/app", False),
        ("postgresql://app@localhost,db.example/app", False),
        ("postgresql://app@localhost/app?hostaddr=10.0.0.1", False),
        ("postgresql://app@db.example/app?hostaddr=127.0.0.1", True),
        ("postgresql://app@localhost,db.example/app?hostaddr=127.0.0.1,", False),
        ("postgresql://app@localhost/app?host=db.example", False),
        ("postgresql:///app?service=far", False),
        ("postgresql:///app?service=near", True),
        ("user=app host=db.example dbname=app", False),
    ],
)
def test_an_address_is_local_or_not(url: str, expected: bool) -> None:  # noqa: FBT001  # A parametrised case.
    """As libpq reads it, in all its forms."""
    assert is_on_this_machine(url) == expected


def test_an_empty_variable_counts_as_unset(sslmode: Callable[..., object]) -> None:
    """Libpq itself refuses some that are empty; the way in which the others are read leaves them out too."""
    empty = {option.envvar.decode(): "" for option in Conninfo.parse(b"") if option.envvar}
    libpqs = {name: value for name, value in empty.items() if name.startswith("PG")}
    assert {"PGSSLMODE", "PGSSLNEGOTIATION", "PGCHANNELBINDING", "PGTARGETSESSIONATTRS"} <= libpqs.keys()

    assert sslmode("postgresql://db.canary.example/app", **libpqs) == "require"
    assert sslmode("postgresql://localhost/app", **libpqs) is None
    assert not libpqs.keys() & os.environ.keys()
