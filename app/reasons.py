"""What each `reason` means, and what to do about it: docs/log.md, `doctor` and the problem documents take it from here.

A reason is the word of a refusal or a failure in the log. The words are part of the contract and do not change.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from app.errors import ServiceError


@dataclass(frozen=True, slots=True)
class Reason:
    """`status` is what the caller gets, `meaning` one sentence, `remedy` what an operator does; empty: nothing."""

    status: str
    meaning: str
    remedy: str = ""


_PASSES = "Nothing, if it passes; `python -m app doctor` if it lasts."
_ADOPTED = (
    "Nothing, if it passes: an assistant or a thread may have been made, and the next try adopts it."
    " `python -m app doctor` if it lasts."
)
_NOT_MADE = "Nothing, if it passes: nothing was made; `python -m app doctor` if it lasts."
_CLERK = "Nothing, if it passes: nothing was made, and existing users are served. If it lasts, Clerk's status page."
_KEYS = "If it lasts, compare CLERK_ISSUER with Clerk's dashboard; tokens signed by a known key are still accepted."
_SCANNER = "Nothing; many of them are a scanner or a client with a bug."
_SLOW = "Nothing; many of them are slow clients, or an attack."
_CALLER = "Correct the caller; /openapi.json describes what the route takes."
_EVENT = "For a webhook, look at the event in Clerk's dashboard; else correct the caller."
_TELL = "Tell Backboard; an error line has the id."
_DATABASE = "`python -m app doctor`; then the database's own log and its host's status page."

REASONS: Mapping[str, Reason] = {
    # Signatures.
    "headers": Reason("400", "The signature headers are missing, doubled or malformed.", _SCANNER),
    "signature": Reason(
        "400",
        "No signature matches a signing secret.",
        "If Clerk sent it, compare CLERK_WEBHOOK_SIGNING_SECRET with the endpoint in Clerk's dashboard.",
    ),
    "stale": Reason(
        "400",
        "The signature is five minutes old or older, or more than that ahead.",
        "If Clerk sent it, set this machine's clock right.",
    ),
    # HTTP.
    "http": Reason("400", "The bytes are not HTTP/1.1.", _SCANNER),
    "host": Reason("400", "The Host header is missing or doubled.", _SCANNER),
    "path": Reason("404", "There is no such path.", _SCANNER),
    "method": Reason("405", "The path takes another method.", _CALLER),
    "head_timeout": Reason("408", "The head of the request was not complete after 10 s.", _SLOW),
    "body_timeout": Reason("408", "The body of the request was not complete 5 s after its head.", _SLOW),
    "too_large": Reason(
        "413, 422",
        "The body is too large, or the metadata or preferences in it are over 16 KiB.",
        "Send less at a time, for instance several batches.",
    ),
    "too_many_values": Reason(
        "422",
        "The body has more than 50,000 values; an object or a list counts twice.",
        "Send less at a time, for instance several batches.",
    ),
    "too_deep": Reason("422", "The metadata or preferences in the body are nested more than 100 deep.", _CALLER),
    "large_bodies": Reason(
        "503",
        "Too many large bodies are under way at the same time.",
        "Nothing, if it passes; many of them are slow clients, or an attack.",
    ),
    "content_type": Reason("415", "The body is not application/json, or it has a content encoding.", _CALLER),
    "head_too_large": Reason(
        "431", "The head of the request is over 32 KB or has over 100 headers.", "Look for cookies that grow."
    ),
    "client_disconnect": Reason(
        "499",
        "The client disconnected before its answer; the work it asked for goes on.",
        "Nothing; if there are many, give the client a timeout of 15 s or more.",
    ),
    # Callers.
    "token": Reason(
        "401",
        "There is no bearer token that is accepted here.",
        "Compare SERVICE_TOKENS with the caller's; of a session token, `fault` says what is wrong.",
    ),
    "rate_limited": Reason(
        "429",
        "This user has opened sessions, written messages or searched too often for now.",
        "Nothing, if it passes; USER_SESSIONS_PER_HOUR, USER_MESSAGES_PER_MINUTE and USER_SEARCHES_PER_MINUTE are the"
        " limits.",
    ),
    "other_user": Reason("403, 404", "A session token asked for another user."),
    "clerk_keys_unreachable": Reason("503", "Clerk's keys for session tokens could not be fetched.", _KEYS),
    "clerk_keys_unreadable": Reason("503", "The answer at CLERK_ISSUER is not a set of keys.", _KEYS),
    # Requests and events.
    "json": Reason("422", "The body is not one JSON object in UTF-8 with unique keys and finite numbers.", _EVENT),
    "type": Reason("422", "The event has no type.", _EVENT),
    "data": Reason("422", "The event's data is not an object.", _EVENT),
    "clerk_id": Reason("422", "The Clerk id is not user_ and 1 to 64 letters and digits.", _EVENT),
    "shape": Reason("422", "The body is not what this path takes.", _CALLER),
    "unstorable_text": Reason("422", "A text holds what Postgres cannot store, such as NUL.", _EVENT),
    "query": Reason("422", "The query string cannot be decoded.", _CALLER),
    "limit": Reason("422", "`limit` is not a number in its range.", _CALLER),
    "q": Reason("422", "`q` is longer than 200 characters or stands more than once.", _CALLER),
    "cursor": Reason("422", "The cursor is malformed.", "Hand a cursor back as it came."),
    "before": Reason("422", "`before` stands more than once.", _CALLER),
    "idempotency_key": Reason(
        "422",
        "The Idempotency-Key is malformed, or was used for another request before.",
        "Use a new key for each session.",
    ),
    "missing": Reason("404", "There is no such thing, or it is another user's."),
    "unknown_user": Reason(
        "404",
        "There is no such user, and nothing was made.",
        "For a user who exists at Clerk, call /ensure-user first.",
    ),
    "deleted": Reason("410", "The user was deleted."),
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
        "Every connection for this kind of work is in use: a burst of sign-ups, or a database that does not answer.",
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
    "schema_missing": Reason("503", "A table or a column is missing.", "Run `python -m app migrate`."),
    "schema_differs": Reason(
        "503",
        "The schema is not the one that this code expects.",
        "Run `python -m app migrate`, or deploy the code that matches.",
    ),
    # The process.
    "deadline": Reason("503", "The request took longer than 11 s.", "`backboard_ms`, `clerk_ms`, `db_ms` say where."),
    "stopping": Reason("503", "The process is about to end; only /readyz says so."),
}


def meaning_of(error: ServiceError) -> str:
    """The sentence for an error, as the continuation of another: no capital of its own, no full stop."""
    meaning = REASONS[error.reason].meaning.removesuffix(".")
    return meaning[0].lower() + meaning[1:] if meaning.startswith(("A ", "The ", "There ", "What ")) else meaning
