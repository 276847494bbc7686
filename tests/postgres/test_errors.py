"""The driver's errors in our own words, which quote no user, host, row or database."""

from urllib.parse import urlsplit

import psycopg
import pytest

from app.errors import ConstraintViolated, DatabaseUnavailable, InvalidRequest, LockTimeout
from app.postgres.errors import explain_connect_error, from_psycopg
from app.postgres.pool import why_refused


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ('FATAL:  password authentication failed for user "canary"', "the user or the password is wrong"),
        ('FATAL:  role "canary" does not exist', "there is no such user"),
        ('FATAL:  role "canary" is not permitted to log in', "the user may not log in"),
        ('FATAL:  database "canary" does not exist', "there is no such database"),
        ('FATAL:  database "canary" is not currently accepting connections', "this database takes no connections"),
        ('FATAL:  permission denied for database "canary"', "the user may not connect to this database"),
        ('FATAL:  too many connections for role "canary"', "it has no connection left"),
        ('FATAL:  too many connections for database "canary"', "it has no connection left"),
        ("FATAL:  sorry, too many clients already", "it has no connection left"),
        ("FATAL:  the database system is starting up", "it is starting up or shutting down"),
        ("server does not support SSL, but SSL was required", "it does not speak TLS"),
        ('could not translate host name "canary" to address: unknown', "there is no such host"),
        ("FATAL:  no more connections allowed (max_client_conn)", "it has no connection left"),
        ("FATAL:  server login has been failing, try again later", "its pooler answers, but cannot reach"),
        ("FATAL:  client_login_timeout (server down)", "its pooler answers, but cannot reach"),
        ("FATAL:  query_wait_timeout", "every connection of its pooler is taken"),
        ("FATAL:  unsupported startup parameter: options", "its pooler does not take a parameter"),
        ('FATAL:  "trust" authentication failed', "the user or the password is wrong"),
        ("FATAL:  no such user: canary", "there is no such user"),
        ("FATAL:  no such database: canary", "there is no such database"),
        ("FATAL:  words of a later release", "it cannot be reached"),
    ],
)
def test_a_refused_connection_is_explained_in_our_own_words(message: str, meaning: str) -> None:
    error = psycopg.OperationalError(f'connection to server at "127.0.0.1", port 5432 failed: {message}')

    assert explain_connect_error(error).startswith(meaning)


@pytest.mark.anyio
@pytest.mark.ways("direct", "pooled")
async def test_an_unknown_user_is_explained_as_the_real_server_says_it(database_url: str) -> None:
    """The words depend on how the server authenticates."""
    url = urlsplit(database_url)
    host = url.netloc.rpartition("@")[2]

    explanation = await why_refused(url._replace(netloc=f"canary:canary@{host}").geturl())

    assert explanation in {"there is no such user", "the user or the password is wrong"}


@pytest.mark.anyio
async def test_a_missing_socket_is_explained() -> None:
    """A local server is down, or keeps its socket in another folder."""
    assert await why_refused("postgresql://canary@/app?host=/canary") == "there is no such socket"


@pytest.mark.parametrize(
    ("sqlstate", "reason"),
    [
        ("08006", "database_down"),
        ("57P01", "database_down"),
        ("57014", "database_slow"),
        ("25P03", "database_slow"),
        ("53100", "database_full"),
        ("25006", "database_read_only"),
        ("40001", "database_conflict"),
        ("3D000", "database_missing"),
        ("28P01", "database_refused"),
        ("42P01", "schema_missing"),
        ("42703", "schema_missing"),
        ("55P03", "lock_timeout"),
        ("23505", "database_constraint"),
        ("XX000", "database_error"),
        ("42601", "database_error"),
    ],
)
def test_an_sqlstate_has_its_reason_and_the_message_is_left_behind(sqlstate: str, reason: str) -> None:
    error = from_psycopg(psycopg.errors.lookup(sqlstate)("canary"))

    assert isinstance(error, DatabaseUnavailable)
    assert (error.reason, error.sqlstate) == (reason, sqlstate)
    assert "canary" not in f"{error} {error.args}"


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.lookup("22P05")("canary"),
        psycopg.errors.lookup("54000")("canary"),
        psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"),
        UnicodeEncodeError("utf-8", "canary\ud800", 6, 7, "surrogates not allowed"),
    ],
    ids=["22", "54000", "NUL", "surrogate"],
)
def test_text_that_postgres_cannot_hold_is_an_invalid_request(error: Exception) -> None:
    """No redelivery would heal it."""
    translated = from_psycopg(error)

    assert isinstance(translated, InvalidRequest)
    assert "canary" not in f"{translated} {translated.args}"


def test_an_error_without_an_sqlstate_is_a_database_that_is_down() -> None:
    error = from_psycopg(psycopg.OperationalError("consuming input failed: canary"))

    assert isinstance(error, DatabaseUnavailable)
    assert error.reason == "database_down"


def test_a_lock_timeout_and_a_violated_constraint_are_classes_of_their_own() -> None:
    """Provisioning tells them apart: one heals soon, the other says that the id is taken."""
    assert isinstance(from_psycopg(psycopg.errors.lookup("55P03")("")), LockTimeout)
    assert isinstance(from_psycopg(psycopg.errors.lookup("23505")("")), ConstraintViolated)
