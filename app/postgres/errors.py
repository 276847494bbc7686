"""The driver's errors as ours. Its messages are left behind: they quote rows, hosts and users."""

from collections.abc import Mapping

import psycopg

from app.errors import (
    ConstraintViolated,
    DatabaseDown,
    DatabaseFull,
    DatabaseMissing,
    DatabaseReadOnly,
    DatabaseRefused,
    DatabaseSlow,
    DatabaseUnavailable,
    InvalidRequest,
    LockTimeout,
    SchemaMissing,
    TransactionConflict,
)

_POOLER_ALONE = "its pooler answers, but cannot reach the server behind it"

# A failed connection has no SQLSTATE, only a message of libpq, the server or PgBouncer. These words have stood in them
# for many releases.
_MEANINGS = (
    ("authentication failed", "the user or the password is wrong"),
    ("no password supplied", "it asks for a password"),
    ("no pg_hba.conf entry", "it admits no client from here, or none without TLS"),
    ("does not support SSL", "it does not speak TLS"),
    ("certificate", "its certificate is not trusted"),
    ("too many", "it has no connection left"),
    ("remaining connection slots", "it has no connection left"),
    ("no more connections allowed", "it has no connection left"),
    ("server login has been failing", _POOLER_ALONE),
    ("server down", _POOLER_ALONE),
    ("query_wait_timeout", "every connection of its pooler is taken"),
    ("unsupported startup parameter", "its pooler does not take a parameter of the URL"),
    ("no such user", "there is no such user"),
    ("no such database", "there is no such database"),
    ("the database system is", "it is starting up or shutting down"),
    ("permission denied", "the user may not connect to this database"),
    ("not permitted to log in", "the user may not log in"),
    ("not currently accepting", "this database takes no connections at the moment"),
    ("role ", "there is no such user"),
    ("database ", "there is no such database"),
    ("Connection refused", "nothing listens at that host and port"),
    ("translate host name", "there is no such host"),
    ("resolve host", "there is no such host"),
    ("No such file", "there is no such socket"),
    ("timeout expired", "nothing answers at that host and port"),
)


def explain_connect_error(error: Exception) -> str:
    """Why a connection failed, in words that never hold a part of the address."""
    message = str(error)
    return next((meaning for words, meaning in _MEANINGS if words in message), "it cannot be reached")


def from_psycopg(error: Exception) -> DatabaseUnavailable | InvalidRequest:
    """The error of ours for an error of psycopg's."""
    if isinstance(error, UnicodeEncodeError):
        return InvalidRequest("unstorable_text")
    state = getattr(error, "sqlstate", None)
    if state is None:
        if isinstance(error, psycopg.DataError):  # NUL in a text: raised by the driver, without a state.
            return InvalidRequest("unstorable_text")
        return DatabaseDown()
    if state.startswith("22") or state == "54000":
        return InvalidRequest("unstorable_text")
    if state.startswith("23"):
        constraint = error.diag.constraint_name if isinstance(error, psycopg.Error) else None
        return ConstraintViolated(constraint, sqlstate=state)
    return _class_of(state)(sqlstate=state)


# By SQLSTATE class or code: PostgreSQL documentation, appendix A.
_CLASSES: Mapping[str, type[DatabaseUnavailable]] = {
    "08": DatabaseDown,
    "57P": DatabaseDown,
    "57014": DatabaseSlow,
    "25P03": DatabaseSlow,
    "53": DatabaseFull,
    "25006": DatabaseReadOnly,
    "40": TransactionConflict,
    "3D": DatabaseMissing,
    "28": DatabaseRefused,
    "42P01": SchemaMissing,
    "42703": SchemaMissing,
    "55P03": LockTimeout,
}


def _class_of(state: str) -> type[DatabaseUnavailable]:
    return next((_CLASSES[state[:length]] for length in (5, 3, 2) if state[:length] in _CLASSES), DatabaseUnavailable)
