"""The driver's errors as ours. Its messages are left behind: they quote rows, hosts and users."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import psycopg

from app.errors import (
    ConstraintViolated,
    DatabaseConflict,
    DatabaseDown,
    DatabaseOutage,
    DatabaseSlow,
    DatabaseUnavailable,
    InvalidRequest,
    LockTimeout,
    SchemaMissing,
)

# libpq's own words, without the address in front of them; they have stood in it for many releases. Names come behind.
_UNREACHED = (
    ("Connection refused", "nothing listens at that host and port"),
    ("No such file or directory", "there is no such socket"),
    ("Permission denied", "this user may not use its socket"),
    ("Connection timed out", "nothing answers at that host and port"),
    ("timeout expired", "nothing answers at that host and port"),
    ("connection timeout expired", "nothing answers at that host and port"),
    ("Network is unreachable", "this machine has no way to that host"),
    ("No route to host", "this machine has no way to that host"),
    ("could not translate host name", "there is no such host"),
    ("failed to resolve host", "there is no such host"),
    ("server does not support SSL", "it does not speak TLS"),
    ("SSL error: certificate verify failed", "its certificate is not trusted"),
    ("server certificate for ", "its certificate is not trusted: it is another host's"),
    ("root certificate file ", "the file of sslrootcert, to trust its certificate by, is not there"),
    ("fe_sendauth: no password supplied", "it asks for a password"),
    ("server closed the connection unexpectedly", "it closes the connection without a word"),
    ("received invalid response to SSL negotiation", "what listens there is not Postgres"),
    ("expected authentication request from server", "what listens there is not Postgres"),
)
# By SQLSTATE or its class: PostgreSQL documentation, appendix A.
_REFUSALS = {
    "28P01": "the user or the password is wrong",
    "28": "it does not admit this user, or not from here, or not without TLS",
    "3D": "there is no such database",
    "42501": "the user may not connect to this database",
    "53": "it has no connection left",
    "55000": "this database takes no connections at the moment",
    "57P03": "it is starting up or shutting down",
    "0A": "it does not take what the address asks for",
    "22": "it does not take the options of the address",
    "42": "it does not take the options of the address",
    "08P01": "its pooler refuses the user, the password, the database, or has no connection left",
}
# What libpq says is not among the words above.
UNKNOWN = "it cannot be reached"
_REACHED = "it was reached, and it refuses the connection"
# How libpq begins what a server says: its severity, perhaps in the server's language.
_SERVER = re.compile(r"\w+:  ")
_ADDRESS = re.compile(r"(connection failed: |connection is bad: )?(connection to server (at|on socket) \")?")
_ADDRESS_END = re.compile(r'(/\.s\.PGSQL\.\d+)?"( \([^()" ]*\))?(, port \d+)? failed: ')


def explain_connect_error(error: psycopg.Error) -> str:
    """Why a connection failed, in words that never hold a part of the address.

    psycopg has no SQLSTATE for a refusal, and its text quotes names: `why_refused` asks for the reason once more.
    """
    connection = error.pgconn
    return explain_refusal(str(error), (connection.host, connection.hostaddr) if connection else ())


def explain_refusal(message: str, hosts: Iterable[bytes], sqlstate: str | None = None) -> str:
    """As explain_connect_error, for libpq's message, the names that it has for the host, and the server's SQLSTATE."""
    if sqlstate is not None:
        known = (_REFUSALS[sqlstate[:length]] for length in (5, 2) if sqlstate[:length] in _REFUSALS)
        return next(known, f"{_REACHED} (SQLSTATE {sqlstate})")
    words = _without_address(message, [host.decode() for host in hosts])
    meaning = next((meaning for beginning, meaning in _UNREACHED if words.startswith(beginning)), None)
    return meaning or (_REACHED if _SERVER.match(words) else UNKNOWN)


def _without_address(message: str, hosts: list[str]) -> str:
    """What follows on the address, so that no name can be taken for a reason."""
    begin = _ADDRESS.match(message)
    rest = message[begin.end() if begin else 0 :]
    ends = (_ADDRESS_END.match(rest, len(host)) for host in hosts if rest.startswith(host))
    end = next(filter(None, ends), None)
    return rest[end.end() if end else 0 :]


def from_psycopg(error: Exception, *, is_utf8: bool = True) -> DatabaseUnavailable | InvalidRequest:
    """The error of ours for an error of psycopg's, from a database that stores UTF-8 or not."""
    if isinstance(error, UnicodeDecodeError):
        return DatabaseUnavailable("database_encoding")
    state = getattr(error, "sqlstate", None)
    if state is None:
        # NUL or half a surrogate pair in a text: raised by the driver, without a state.
        is_text = isinstance(error, psycopg.DataError | UnicodeEncodeError)
        return InvalidRequest("unstorable_text") if is_text else DatabaseDown()
    if state == _UNTRANSLATABLE and not is_utf8:
        return DatabaseUnavailable("database_encoding", sqlstate=state)
    # A sequence that has reached its end is no fault of the text.
    if (state.startswith("22") and state != "2200H") or state == "54000":
        return InvalidRequest("unstorable_text")
    if state.startswith("23"):
        constraint = error.diag.constraint_name if isinstance(error, psycopg.Error) else None
        return ConstraintViolated(constraint, sqlstate=state)
    return _error_of(state)(sqlstate=state)


# Another encoding lacks a character that UTF-8 has, which is not the row's fault. In UTF-8, \u0000 in a JSON document.
_UNTRANSLATABLE = "22P05"

# By SQLSTATE class or code: PostgreSQL documentation, appendix A.
_ERRORS: Mapping[str, Callable[..., DatabaseUnavailable]] = {
    "08": DatabaseDown,
    "57P": DatabaseDown,
    "57014": DatabaseSlow,
    "25P03": DatabaseSlow,
    "53": partial(DatabaseOutage, "database_full"),
    "25006": partial(DatabaseOutage, "database_read_only"),
    "40": DatabaseConflict,
    "3D": partial(DatabaseOutage, "database_missing"),
    "28": partial(DatabaseOutage, "database_refused"),
    "42501": partial(DatabaseOutage, "database_rights"),
    "42P01": SchemaMissing,
    "42703": SchemaMissing,
    "42883": SchemaMissing,
    "55P03": LockTimeout,
}


def _error_of(state: str) -> Callable[..., DatabaseUnavailable]:
    return next((_ERRORS[state[:length]] for length in (5, 3, 2) if state[:length] in _ERRORS), DatabaseUnavailable)
