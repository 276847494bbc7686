"""Why the service cannot do now what it is asked for: Clerk, Backboard, Postgres, the process itself."""

from collections.abc import Mapping

from app.reasons.reason import Reason

_ADOPTED = (
    "Nothing, if it passes: an assistant or a thread may have been made, and the next try adopts it."
    " `python -m app doctor` if it lasts."
)
_NOT_MADE = "Nothing, if it passes: nothing was made; `python -m app doctor` if it lasts."
_CLERK = "Nothing, if it passes: nothing was made, and existing users are served. If it lasts, Clerk's status page."
_TELL = "Tell Backboard; an error line has the id."
_DATABASE = "`python -m app doctor`; then the database's own log and its host's status page."

OUTAGES: Mapping[str, Reason] = {
    # Clerk.
    "clerk_unreachable": Reason("503", "Clerk did not answer in time.", _CLERK),
    "clerk_throttled": Reason("503", "Clerk asked us to come back later.", _CLERK),
    "clerk_error": Reason("503", "Clerk answered with an error.", _CLERK),
    "clerk_unreadable": Reason(
        "503", "The answer at CLERK_API_URL is not Clerk's API.", "Compare CLERK_API_URL; look for a proxy in between."
    ),
    "clerk_refused": Reason(
        "503",
        "Clerk refused our key.",
        "Compare CLERK_SECRET_KEY and CLERK_API_URL with Clerk's dashboard; an error line has the status.",
    ),
    # Backboard.
    "backboard_timeout": Reason("503", "Backboard did not answer in time.", _ADOPTED),
    "backboard_error": Reason("503", "Backboard answered with an error.", _ADOPTED),
    "backboard_dropped": Reason("503", "Backboard closed the connection early.", _ADOPTED),
    "backboard_unreadable": Reason("503", "Backboard's answer cannot be read.", _ADOPTED),
    "backboard_unreachable": Reason("503", "Backboard cannot be reached.", _NOT_MADE),
    "backboard_throttled": Reason("503", "Backboard asked us to come back later.", _NOT_MADE),
    "backboard_saturated": Reason(
        "503", "Every connection of this process to Backboard is in use; nothing was sent.", _NOT_MADE
    ),
    "backboard_certificate": Reason(
        "503",
        "Backboard's certificate is not trusted, expired or another host's; nothing was sent.",
        "`python -m app doctor` says what is wrong with it. Of a private CA: SSL_CERT_FILE; else tell Backboard.",
    ),
    "backboard_refused": Reason(
        "503",
        "Backboard refused the request; nothing was made.",
        "An error line has the status. 401, 402, 403: BACKBOARD_API_KEY or the account. 404: BACKBOARD_API_URL.",
    ),
    "backboard_down": Reason(
        "503",
        "Backboard failed five times in a row, so new users wait some seconds; existing users are served.",
        "Look up the reasons in the lines before.",
    ),
    "backboard_listing_cut": Reason(
        "503",
        "Backboard's listing ended before all of it was seen.",
        "Ask Backboard whether its filter by name works: without it, only 10,200 assistants can be seen.",
    ),
    "backboard_listing_repeats": Reason("503", "Backboard's listing repeats itself.", "Tell Backboard."),
    "assistant_missing": Reason(
        "503",
        "Backboard said that it does not have the assistant of the user's row, and a second look was not sure of it.",
        "Compare BACKBOARD_API_KEY: it may be another account's. If it is right, `doctor` says which users have"
        " lost theirs, and `reconcile --apply` makes new ones.",
    ),
    "backboard_wrong_name": Reason(
        "503", "Backboard made an assistant of another name; it was not used and not deleted.", _TELL
    ),
    "backboard_id_twice": Reason(
        "503", "Backboard gave an id that another row holds; it was not used and not deleted.", _TELL
    ),
    # Postgres.
    "saturated": Reason(
        "503",
        "Every connection to Postgres for this kind of work is in use, or the database does not answer.",
        "Nothing, if it passes. If it lasts and the database is well, more processes or a higher QUERY_CONNECTIONS or"
        " PROVISIONING_CONCURRENCY.",
    ),
    "provisioning_saturated": Reason(
        "503",
        "More sign-ups, new sessions or deletions wait than can be served in time; existing users are served.",
        "Nothing, if it passes. If it lasts and the database is well, more processes or a higher"
        " PROVISIONING_CONCURRENCY.",
    ),
    "lock_timeout": Reason("503", "Another process is working on this user."),
    "attempt_missing": Reason("503", "The attempt row was removed by another process while this one waited."),
    "database_down": Reason("503", "Postgres cannot be reached.", _DATABASE),
    "database_slow": Reason("503", "Postgres did not answer in time.", _DATABASE),
    "database_full": Reason("503", "Postgres is out of disk, memory or connections.", _DATABASE),
    "database_read_only": Reason(
        "503",
        "Postgres is read-only: a replica, or a database that is full.",
        "Point DATABASE_URL at the primary, or free disk space.",
    ),
    "database_conflict": Reason("503", "Postgres ended the transaction because of another one."),
    "database_constraint": Reason("503", "A row breaks a constraint of the schema.", "Please report it."),
    "database_encoding": Reason(
        "503",
        "The database's encoding cannot hold a character; it has to be UTF8.",
        "`python -m app doctor` names the statement that makes a database that can.",
    ),
    "database_rights": Reason(
        "503",
        "The database user may not read or write one of the tables.",
        "`python -m app doctor` names the table and the GRANT.",
    ),
    "database_missing": Reason("503", "The database does not exist.", "Compare DATABASE_URL."),
    "database_refused": Reason("503", "Postgres refused the user or the password.", "Compare DATABASE_URL."),
    "database_error": Reason("503", "Postgres refused a statement.", "Look at the database's own log; report it."),
    "schema_missing": Reason(
        "503",
        "A table, a column, a function or a trigger is missing.",
        "Run `python -m app migrate`, which names what it cannot mend.",
    ),
    "schema_differs": Reason(
        "503",
        "The schema is not the one that this code expects.",
        "Run `python -m app migrate`, or deploy the code that matches.",
    ),
    # The process.
    "bug": Reason("500", "Something unexpected happened.", "Report it with the line `event=bug` of the same request."),
    "deadline": Reason("503", "The request took longer than 11 s.", "`backboard_ms`, `clerk_ms`, `db_ms` say where."),
    "stopping": Reason("503", "The process is about to end; only /readyz says so."),
}
