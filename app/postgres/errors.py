"""Why no connection to Postgres comes about, in words of ours: the driver's quote the address, and have no code."""

from collections.abc import Mapping

import psycopg

from app.errors import DatabaseUnavailable, InvalidRequest

_POOLER_ALONE = "its pooler answers, but cannot reach the server behind it"

# What libpq, the server and PgBouncer say, by the words that have stood in it for many releases.
_MEANINGS = (
    ("authentication failed", "the user or the password is wrong"),
    ("no password supplied", "it asks for a password"),
    ("no pg_hba.conf entry", "it lets nobody in from here, or not without TLS"),
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
    """The sentence for an error of connecting; it never holds a part of the address."""
    said = str(error)
    return next((meaning for words, meaning in _MEANINGS if words in said), "it cannot be reached")


# A lost race for a user's lock is over sooner than an outage.
LOCK_RETRY_AFTER = 3


def from_psycopg(error: Exception) -> DatabaseUnavailable | InvalidRequest:
    """What a driver's error means. Its message is left behind: it quotes rows, hosts and users."""
    if isinstance(error, UnicodeEncodeError):
        return InvalidRequest("unstorable_text")
    state = getattr(error, "sqlstate", None)
    if state is None:
        if isinstance(error, psycopg.DataError):  # NUL in a text: raised by the driver, without a state.
            return InvalidRequest("unstorable_text")
        return DatabaseUnavailable("database_down")
    if state.startswith("22") or state == "54000":
        return InvalidRequest("unstorable_text")
    constraint = error.diag.constraint_name if isinstance(error, psycopg.Error) else None
    if state == "55P03":
        return DatabaseUnavailable("lock_timeout", sqlstate=state, retry_after=LOCK_RETRY_AFTER)
    return DatabaseUnavailable(_reason(state), sqlstate=state, constraint=constraint)


# By SQLSTATE class or code: PostgreSQL documentation, appendix A.
_REASONS: Mapping[str, str] = {
    "08": "database_down",
    "57P": "database_down",
    "57014": "database_slow",
    "53": "database_full",
    "25006": "database_read_only",
    "25P03": "database_slow",
    "40": "database_conflict",
    "23": "database_constraint",
    "3D": "database_missing",
    "28": "database_refused",
    "42P01": "schema_missing",
    "42703": "schema_missing",
}


def _reason(state: str) -> str:
    for length in (5, 3, 2):
        if reason := _REASONS.get(state[:length]):
            return reason
    return "database_error"
