"""The database's address: its variables, its form, and TLS for another machine."""

from pathlib import Path
from urllib.parse import quote

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


LEFT_OUT = [
    "pgbouncer=true",
    "connection_limit=1",
    "schema=public",
    "supa=base-pooler.x",
    "workaround=supabase-pooler.vercel",
    "uselibpqcompat=true",
    "pool=5",
    "statement_cache_size=0",
    "pool_max_conns=4",
    "prepareThreshold=0",
]


@pytest.mark.parametrize("parameter", LEFT_OUT)
@pytest.mark.parametrize("query", ["?{}", "?{}&sslmode=require", "?sslmode=require&{}&application_name=a", "?{}&"])
def test_a_parameter_that_means_nothing_here_is_left_out(
    parameter: str, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Prisma, Supabase's integration with Vercel and other drivers write; all others are kept."""
    kept = query.replace("{}&", "").replace("{}", "").rstrip("?&")

    assert database(URL + query.format(parameter), monkeypatch) == dict(conninfo_to_dict(URL + kept))
    assert parameter.partition("=")[0] in " ".join(load(Settings).advice())


FAULTS = {
    "postgresql://app:can/ary@db.example.com/app": "%2F",
    "postgresql://app:1234/canary@db.example.com/app": "%2F",
    "postgresql://app:can@ary@db.example.com/app": "%40",
    "postgresql://app:canary%@localhost/app": "%25",
    "postgresql://app:100%zz@localhost/app": "%25",
    "postgresql://app:can ary@localhost/app": "%20",
    "postgresql://app:can\u00a0ary@localhost/app": "%20",
    "postgresql://app:can/a@ry?x@db.example.com/app": "%2F",
    "postgresql://app:can\nary@localhost/app": "line end",
    "postgresql://app:canary%00@localhost/app": "%00",
    "postgresql://app:[YOUR-PASSWORD]@localhost/app": "placeholder",
    "postgresql://app:canary%ff@localhost/app": "UTF-8",
    "postgresql://app:canary@localhost/%E4%B8": "UTF-8",
    "postgresql://app:canary@localhost/app?application_name=%C3": "UTF-8",
    "postgresql://app:canary\udcff@localhost/app": "UTF-8",
    "postgresql://app:canary@localhost/app?canary": "%3F",
    "postgresql://app:canary@localhost/app?sslmode=no-verify": "sslmode=require",
    "postgresql://app:canary@localhost/app?sslmode=verify_full": "verify-full",
    "postgresql://app:canary@localhost/app?SSLMODE=require": "SSLMODE",
    "postgresql://app:canary@localhost/app?ssl=1": "sslmode=require",
    "postgresql://app:canary@localhost/app?sslaccept=strict": "sslmode=verify-full",
    "postgresql://app:canary@localhost/app?schema=chat": "options=-csearch_path%3D",
    "postgresql://app:canary@localhost/app?search_path=chat": "options=-csearch_path%3D",
    "postgresql://app:canary@localhost/app?statement_timeout=5": "statement_timeout",
    "psql 'postgresql://app:canary@localhost/app'": "quote",
    "psql postgresql://app:canary@localhost/app": "psql",
    "postgresql+asyncpg://app:canary@localhost/app": "driver",
    "jdbc:postgresql://localhost/app": "driver",
    "postgres:app:canary@localhost/app": "://",
}


@pytest.mark.parametrize(("url", "words"), FAULTS.items())
def test_a_fault_of_the_address_is_named(url: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the encoding or the parameter that it needs, and without a part of the password."""
    monkeypatch.setenv("DATABASE_URL", url)

    (problem,) = problems()
    assert words in problem
    assert "canary" not in problem.replace("DATABASE_URL", "")


def test_every_byte_of_a_password_can_be_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the sentences say."""
    password = "".join(map(chr, range(0x20, 0x7F))) + "\u00e4\u4e2d"

    assert database(f"postgresql://app:{quote(password, safe='')}@localhost/app", monkeypatch)["password"] == password


@pytest.mark.parametrize("character", "!$&'()*+,;=:?#[]\\^|{}<>~\"")
def test_a_character_that_libpq_takes_as_it_is_needs_no_encoding(
    character: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"postgresql://app:p{character}w@localhost/app?pgbouncer=true"

    assert database(url, monkeypatch)["password"] == f"p{character}w"


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
