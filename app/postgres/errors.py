"""The driver's errors as ours. Its messages are left behind: they quote rows, hosts and users."""

from collections.abc import Callable, Mapping
from functools import partial

import psycopg

from app.errors import (
    ConstraintViolated,
    DatabaseDown,
    DatabaseOutage,
    DatabaseSlow,
    DatabaseUnavailable,
    InvalidRequest,
    LockTimeout,
    SchemaMissing,
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
    return _error_of(state)(sqlstate=state)


# By SQLSTATE class or code: PostgreSQL documentation, appendix A.
_ERRORS: Mapping[str, Callable[..., DatabaseUnavailable]] = {
    "08": DatabaseDown,
    "57P": DatabaseDown,
    "57014": DatabaseSlow,
    "25P03": DatabaseSlow,
    "53": partial(DatabaseOutage, "database_full"),
    "25006": partial(DatabaseOutage, "database_read_only"),
    "40": partial(DatabaseUnavailable, "database_conflict"),
    "3D": partial(DatabaseOutage, "database_missing"),
    "28": partial(DatabaseOutage, "database_refused"),
    "42P01": SchemaMissing,
    "42703": SchemaMissing,
    "42883": SchemaMissing,
    "55P03": LockTimeout,
}


def _error_of(state: str) -> Callable[..., DatabaseUnavailable]:
    return next((_ERRORS[state[:length]] for length in (5, 3, 2) if state[:length] in _ERRORS), DatabaseUnavailable)
