"""The driver's errors in our own words, which quote no user, host, row or database."""

import psycopg
import pytest

from app.errors import ConstraintViolated, DatabaseUnavailable, InvalidRequest, LockTimeout
from app.postgres.errors import explain_connect_error, explain_refusal, from_psycopg

REACHED = "it was reached, and it refuses the connection"


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ("Connection refused\n\tIs the server running on that host?", "nothing listens at that host and port"),
        ("Connection timed out", "nothing answers at that host and port"),
        ("timeout expired", "nothing answers at that host and port"),
        ("No route to host", "this machine has no way to that host"),
        ("server does not support SSL, but SSL was required", "it does not speak TLS"),
        ("SSL error: certificate verify failed", "its certificate is not trusted"),
        ('server certificate for "timeout expired" does not match', "its certificate is not trusted"),
        ('root certificate file "Connection refused" does not exist', "the file of sslrootcert"),
        ("fe_sendauth: no password supplied", "it asks for a password"),
        ("server closed the connection unexpectedly", "it closes the connection without a word"),
        ("received invalid response to SSL negotiation: H", "what listens there is not Postgres"),
        ("words of a later release", "it cannot be reached"),
        ('FATAL:  database "certificate" does not exist', REACHED),
        ("FATAL:  Tenant or user not found", REACHED),
        ("FATAL:  Connection refused", REACHED),
        ("\u0412\u0410\u0416\u041d\u041e:  role", REACHED),
        ("FEHLER:  timeout expired", REACHED),
    ],
)
@pytest.mark.parametrize(
    "address", ['at "{}", port 5432', 'at "{}" (192.0.2.1), port 5432', 'on socket "{}/.s.PGSQL.5432"']
)
@pytest.mark.parametrize("host", ["db.example.com", "certificate", '" failed: Connection refused', "/timeout expired"])
def test_a_failed_connection_is_explained_by_libpqs_own_words(
    words: str, meaning: str, address: str, host: str
) -> None:
    """No name counts: the host's is cut out, and what a server says is not looked into."""
    message = f"connection failed: connection to server {address.format(host)} failed: {words}"

    assert explain_refusal(message, [host.encode(), b""]).startswith(meaning)


def test_the_drivers_own_words_are_explained_too() -> None:
    """The driver resolves names and keeps the time itself."""
    for message, meaning in {
        "connection timeout expired": "nothing answers at that host and port",
        "failed to resolve host 'canary': [Errno -2] Name or service not known": "there is no such host",
        'could not translate host name "canary" to address: unknown': "there is no such host",
    }.items():
        assert explain_connect_error(psycopg.OperationalError(message)) == meaning


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
