"""The database's address: its variables, its form, and TLS for another machine."""

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from app.settings import DATABASE_VARIABLES, DatabaseSettings, Settings, load
from tests.support.environment import URL, complete_environment, problems


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which .env is read."""
    complete_environment(monkeypatch, tmp_path)
    return tmp_path


def database(url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The parts of the address that the service makes of a DATABASE_URL."""
    monkeypatch.setenv("DATABASE_URL", url)
    return dict(conninfo_to_dict(load(Settings).database_url.get_secret_value()))


def test_a_missing_database_names_all_three_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts set different ones."""
    monkeypatch.delenv("DATABASE_URL")

    (problem,) = problems()
    assert all(name in problem for name in DATABASE_VARIABLES)


def test_the_first_variable_that_is_set_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """DATABASE_URL, POSTGRES_URL, PRISMA_DATABASE_URL; an empty one counts as unset."""
    for name in DATABASE_VARIABLES:
        monkeypatch.setenv(name, f"postgresql://localhost/{name.lower()}")

    for name in DATABASE_VARIABLES:
        assert load(DatabaseSettings).database_url.get_secret_value().endswith(name.lower())
        monkeypatch.setenv(name, "")


@pytest.mark.parametrize("name", DATABASE_VARIABLES)
def test_the_message_about_a_malformed_address_names_the_variable_that_is_set(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv(name, "canary")

    (problem,) = problems()
    assert name in problem
    assert "canary" not in problem


def test_the_message_about_a_malformed_address_names_the_variable_that_wins(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment variable of any name wins over the file."""
    (folder / ".env").write_text(f"DATABASE_URL={URL}\n")
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("POSTGRES_URL", "canary")

    (problem,) = problems()
    assert "POSTGRES_URL" in problem


@pytest.mark.parametrize("scheme", ["prisma", "prisma+postgres"])
def test_an_accelerate_address_is_refused_with_the_reason(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an HTTP service of Prisma's and not a Postgres; the sentence says what to set instead."""
    monkeypatch.setenv("DATABASE_URL", f"{scheme}://accelerate.prisma-data.net/?api_key=canary")

    (problem,) = problems()
    assert problem.startswith("DATABASE_URL ")
    assert "Prisma Accelerate" in problem
    assert "postgres://" in problem
    assert "canary" not in problem


@pytest.mark.parametrize("name", DATABASE_VARIABLES[1:])
def test_an_environment_variable_of_any_name_wins_over_the_file(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of the names counts within the environment and within the file, not between the two."""
    (folder / ".env").write_text("DATABASE_URL=postgresql://localhost/file\n")
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv(name, "postgresql://localhost/real")

    assert load(Settings).database_url.get_secret_value() == "postgresql://localhost/real"


@pytest.mark.parametrize(
    "url",
    [
        "postgres://app:p%40ss%2Fword@localhost:5432/app",
        "postgresql://app:p%40ss%2Fword@127.0.0.1:5432/app",
        "postgresql://app:p%40ss%2Fword@[::1]/app",
        "postgresql://app:p%40ss%2Fword@/app?host=/var/run/postgresql",
    ],
)
def test_both_schemes_and_an_encoded_password_are_accepted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On this machine no sslmode is added, so the server needs no TLS."""
    parts = database(url, monkeypatch)

    assert (parts["user"], parts["password"], parts["dbname"]) == ("app", "p@ss/word", "app")
    assert "sslmode" not in parts


@pytest.mark.parametrize("parameter", ["schema=public", "pgbouncer=true", "connection_limit=1"])
def test_a_parameter_that_only_an_orm_knows_is_refused(parameter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what to take out."""
    monkeypatch.setenv("DATABASE_URL", f"{URL}?{parameter}")

    assert parameter.partition("=")[0] in problems()[0]


@pytest.mark.parametrize("port", ["abc", "0", "65536", "99999", "-1", "%D9%A5"])
@pytest.mark.parametrize(
    "address", ["app@a.example:{}/app", "app@a.example,b.example:{}/app", "/app?host=/tmp&port={}"]
)
def test_an_invalid_port_is_refused(address: str, port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver checks it only when it connects, and then the database seems to be down."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://{address.format(port)}")

    (problem,) = problems()
    assert problem.startswith("DATABASE_URL ")
    assert "port" in problem


@pytest.mark.parametrize("address", ["a.example:1", "a.example:65535", "a.example", "a.example,b.example:5433"])
def test_a_port_may_be_left_out(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert database(f"postgresql://app@{address}/app", monkeypatch)["dbname"] == "app"


REMOTE = [
    "postgresql://app:canary@db.example.com/app",
    "postgresql://app:canary@10.0.0.1/app",
    "postgresql://app:canary@localhost,db.example.com/app",
    "postgresql://app:canary@localhost/app?host=db.example.com",
    "postgresql://app:canary@localhost/app?hostaddr=10.0.0.1",
]


@pytest.mark.parametrize("url", REMOTE)
def test_tls_is_required_for_another_machine(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an sslmode, in every form that names another machine."""
    parts = database(url, monkeypatch)

    assert (parts["sslmode"], parts["password"]) == ("require", "canary")


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_stricter_sslmode_is_kept(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert database(f"{REMOTE[0]}?sslmode={mode}", monkeypatch)["sslmode"] == mode


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
@pytest.mark.parametrize("url", REMOTE)
def test_tls_cannot_be_turned_off_for_another_machine(mode: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The modes that may fall back to plain text would expose the password on the network."""
    monkeypatch.setenv("DATABASE_URL", f"{url}{'&' if '?' in url else '?'}sslmode={mode}")

    (problem,) = problems()
    assert problem.startswith("DATABASE_URL ")
    assert "sslmode" in problem


@pytest.mark.parametrize("mode", ["disable", "prefer", "require"])
def test_any_sslmode_is_accepted_on_this_machine(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert database(f"{URL}?sslmode={mode}", monkeypatch)["sslmode"] == mode
