"""Why no connection to Postgres comes about, in words of ours: the driver's quote the address, and have no code."""

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


def meaning_of(error: Exception) -> str:
    """The sentence for an error of connecting; it never holds a part of the address."""
    said = str(error)
    return next((meaning for words, meaning in _MEANINGS if words in said), "it cannot be reached")
