"""Values that libpq would refuse at every connection are refused at the start, by the name that the person wrote."""

from pathlib import Path

import pytest

from app.settings import DatabaseSettings, load
from tests.support.environment import complete_environment, problems


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    complete_environment(monkeypatch, tmp_path)
    return tmp_path


REFUSED = {
    "load_balance_hosts=canary": "load_balance_hosts",
    "channel_binding=canary": "channel_binding",
    "require_auth=canary": "require_auth",
    "require_auth=!md5,scram-sha-256": "require_auth",
    "target_session_attrs=canary": "target_session_attrs",
    "gssencmode=canary": "gssencmode",
    "sslcertmode=canary": "sslcertmode",
    "sslnegotiation=canary": "sslnegotiation",
    "sslnegotiation=direct": "sslmode=require",
    "ssl_min_protocol_version=canary": "ssl_min_protocol_version",
    "ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2": "together",
    "min_protocol_version=canary": "min_protocol_version",
    "max_protocol_version=2.0": "max_protocol_version",
    "min_protocol_version=3.2&max_protocol_version=3.0": "together",
    "sslrootcert=system&sslmode=require": "sslmode=verify-full",
    "channel_binding=canary&gssencmode=canary": "channel_binding and gssencmode",
    "keepalives=canary": "keepalives",
    "hostaddr=1.2.3": "hostaddr that is not an IP address",
    "hostaddr=canary.example": "hostaddr that is not an IP address",
    "hostaddr=127.0.0.1,256.0.0.1": "hostaddr that is not an IP address",
}


@pytest.mark.parametrize(("query", "words"), REFUSED.items())
def test_a_value_that_libpq_does_not_take_is_named(query: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection would fail, and the database seem to be unreachable."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://app:canary@localhost/app?{query}")

    (problem,) = problems()
    assert problem.startswith("DATABASE_URL ")
    assert words in problem
    assert "canary" not in problem


VARIABLES = {
    "PGSSLMODE": "canary",
    "PGCHANNELBINDING": "canary",
    "PGTARGETSESSIONATTRS": "canary",
    "PGLOADBALANCEHOSTS": "canary",
    "PGREQUIREAUTH": "canary",
    "PGHOSTADDR": "1.2.3",
    "PGSSLROOTCERT": "system",
}


@pytest.mark.parametrize(("name", "value"), VARIABLES.items())
def test_a_value_from_a_variable_is_called_by_its_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    if name == "PGSSLROOTCERT":
        monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/app?sslmode=require")

    (problem,) = problems()
    assert name in problem
    assert "canary" not in problem


def test_a_value_from_a_service_is_called_by_its_parameter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "services").write_text("[here]\nhost=localhost\ntarget_session_attrs=canary\n")
    monkeypatch.setenv("PGSERVICEFILE", str(folder / "services"))
    monkeypatch.setenv("DATABASE_URL", "postgresql:///app?service=here")

    (problem,) = problems()
    assert "has a value of target_session_attrs" in problem


@pytest.mark.parametrize(
    "query",
    [
        "load_balance_hosts=random",
        "channel_binding=require",
        "require_auth=!password,!md5",
        "target_session_attrs=read-write",
        "sslnegotiation=direct&sslmode=require",
        "sslrootcert=system",
        "sslrootcert=system&sslmode=verify-full",
        "sslcertmode=disable",
        "ssl_min_protocol_version=TLSv1.3",
        "min_protocol_version=3.0",
        "min_protocol_version=3.2",
        "max_protocol_version=3.2",
        "max_protocol_version=latest",
        "min_protocol_version=3.0&max_protocol_version=3.2",
        "keepalives=0&keepalives_idle=60",
        "hostaddr=127.0.0.1",
        "hostaddr=::1",
        "options=-csearch_path%3Dchat&application_name=a",
        "sslcert=%2Fnowhere%2Fcert&sslkey=%2Fnowhere%2Fkey",
    ],
)
@pytest.mark.parametrize("variable", ["PGAPPNAME", "PGOPTIONS"])
def test_a_value_that_libpq_takes_is_kept(query: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://app@localhost/app?{query}")
    monkeypatch.setenv(variable, "-c x=1")

    assert load(DatabaseSettings).database_url.get_secret_value() == f"postgresql://app@localhost/app?{query}"
