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


_WAIT = "Nothing, if it passes; `python -m app doctor` otherwise."
_ADOPT = "Nothing, if it passes: an assistant may have been made, and the next try adopts it."
_CLERK = "Nothing, if it passes: users who exist are not affected, and nothing was made."
_SCANNER = "Many of them: a client with a bug, or a scanner."
_EVENT = "For a webhook, look at the event in Clerk's dashboard."
_DATABASE = "Look at the database: its host's status page and its own log."

REASONS: Mapping[str, Reason] = {
    # The webhook's signature.
    "headers": Reason("400", "The signature headers are missing, doubled or malformed.", _SCANNER),
    "signature": Reason(
        "400",
        "No signature matches a signing secret.",
        "From Clerk: compare CLERK_WEBHOOK_SIGNING_SECRET with the endpoint in Clerk's dashboard.",
    ),
    "stale": Reason(
        "400", "The signature is more than five minutes old or ahead.", "From Clerk: compare this machine's clock."
    ),
    # HTTP.
    "http": Reason("400", "The bytes are not HTTP/1.1.", _SCANNER),
    "host": Reason("400", "The Host header is missing or doubled.", _SCANNER),
    "path": Reason("404", "There is no such path.", _SCANNER),
    "method": Reason("405", "The path takes another method.", _SCANNER),
    "head_timeout": Reason("408", "The head of the request did not arrive in time.", _SCANNER),
    "body_timeout": Reason("408", "The body of the request did not arrive in time.", _SCANNER),
    "too_large": Reason("413, 422", "The body, or a document in it, is too large.", "The client has to send less."),
    "content_type": Reason("415", "The body is not application/json, or it is encoded.", _SCANNER),
    "head_too_large": Reason("431", "The head of the request is over 32 KB or has over 100 fields.", _SCANNER),
    "client_disconnect": Reason("499", "The client left before its answer; the work it asked for is finished."),
    # Who calls.
    "token": Reason(
        "401",
        "There is no bearer token that counts here.",
        "Compare SERVICE_TOKENS. Session tokens: `fault` says why; many `issuer` or `party`: CLERK_ISSUER,"
        " CLERK_AUTHORIZED_PARTIES.",
    ),
    "other_user": Reason("403, 404", "A session token asked for another user."),
    "clerk_keys_unreachable": Reason("503", "Clerk's keys for session tokens could not be fetched.", _WAIT),
    "clerk_keys_unreadable": Reason("503", "What CLERK_ISSUER serves as keys cannot be read.", _WAIT),
    # What is asked for.
    "json": Reason("422", "The body is not one JSON object with unique keys in UTF-8.", _EVENT),
    "type": Reason("422", "The event has no type.", _EVENT),
    "data": Reason("422", "The event's data is not an object.", _EVENT),
    "clerk_id": Reason("422", "The Clerk id is not user_ and 1 to 64 letters and digits.", _EVENT),
    "shape": Reason("422", "The body is not what this path takes.", "Compare with /openapi.json."),
    "unstorable_text": Reason("422", "A text holds what Postgres cannot store, such as NUL.", _EVENT),
    "query": Reason("422", "The query string cannot be read."),
    "limit": Reason("422", "`limit` is not a number in its range."),
    "q": Reason("422", "`q` is longer than 200 characters, or holds NUL."),
    "cursor": Reason("422", "The cursor is not one that this list gave."),
    "before": Reason("422", "`before` stands more than once."),
    "idempotency_key": Reason("422", "The Idempotency-Key is malformed, or was used for another request before."),
    "missing": Reason("404", "There is no such thing, or it is another user's."),
    "unknown_user": Reason("404", "There is no such user, and nothing was made."),
    "deleted": Reason("410", "The user was deleted."),
    # Clerk.
    "clerk_unreachable": Reason("503", "Clerk does not answer.", _CLERK),
    "clerk_throttled": Reason("503", "Clerk asks us to come back later.", _CLERK),
    "clerk_error": Reason("503", "Clerk answers with an error.", _CLERK),
    "clerk_unreadable": Reason("503", "What answers at CLERK_API_URL is not Clerk's API.", "Look at CLERK_API_URL."),
    "clerk_refused": Reason(
        "503", "Clerk refuses our key.", "Compare CLERK_SECRET_KEY and CLERK_API_URL; an error line has the status."
    ),
    # Backboard.
    "backboard_timeout": Reason("503", "Backboard did not answer in time.", _ADOPT),
    "backboard_error": Reason("503", "Backboard answered with an error.", _ADOPT),
    "backboard_dropped": Reason("503", "Backboard closed the connection early.", _ADOPT),
    "backboard_unreadable": Reason("503", "Backboard's answer cannot be read.", _ADOPT),
    "backboard_listing_cut": Reason("503", "Backboard lists no more than it was asked to skip.", _WAIT),
    "backboard_listing_repeats": Reason("503", "Backboard gives the same page of a listing again.", _WAIT),
    "backboard_unreachable": Reason("503", "Backboard cannot be reached; nothing was made.", _WAIT),
    "backboard_throttled": Reason("503", "Backboard asks us to come back later; nothing was made.", _WAIT),
    "backboard_certificate": Reason(
        "503",
        "Backboard's certificate is expired or another host's; nothing was sent.",
        "Ask Backboard, and find out whether a proxy stands in between.",
    ),
    "backboard_refused": Reason(
        "503",
        "Backboard refused the request; nothing was made.",
        "An error line has the status. 401, 402, 403: the key or the account. 404: BACKBOARD_API_URL.",
    ),
    "backboard_down": Reason(
        "503",
        "Backboard failed five times in a row, so new users wait; users who exist are not affected.",
        "Read the reasons of the lines before.",
    ),
    "backboard_wrong_name": Reason(
        "503", "Backboard made an assistant of another name; it was left alone.", "Ask Backboard."
    ),
    "backboard_id_twice": Reason(
        "503", "Backboard gave an id that another row holds; nothing was deleted.", "Ask Backboard."
    ),
    # Postgres.
    "saturated": Reason(
        "503",
        "Every connection for this kind of work is in use: a burst of sign-ups, or a database that does not answer.",
        "If it lasts and the database is well: more processes, or a higher PROVISIONING_CONCURRENCY.",
    ),
    "lock_timeout": Reason("503", "Another process works on this user."),
    "attempt_missing": Reason("503", "The attempt row was removed by another process while this one waited."),
    "database_down": Reason("503", "Postgres cannot be reached.", _DATABASE),
    "database_slow": Reason("503", "Postgres did not answer in time.", _DATABASE),
    "database_full": Reason("503", "Postgres is out of disk, memory or connections.", _DATABASE),
    "database_read_only": Reason("503", "Postgres is read-only: a replica, or a database that is full.", _DATABASE),
    "database_conflict": Reason("503", "Postgres ended the transaction because of another one.", _WAIT),
    "database_constraint": Reason("503", "A row breaks a constraint of the schema.", "Please report it."),
    "database_missing": Reason("503", "The database does not exist.", "Look at DATABASE_URL."),
    "database_refused": Reason("503", "Postgres refuses the user or the password.", "Look at DATABASE_URL."),
    "database_error": Reason("503", "Postgres refused a statement.", "Please report it."),
    "schema_missing": Reason("503", "A table or a column is missing.", "Run `python -m app migrate`."),
    "schema_differs": Reason(
        "503", "The schema is not the one that this code expects.", "Run `python -m app migrate`, or deploy the code."
    ),
    # The process.
    "deadline": Reason("503", "The request took longer than 11 s.", "`backboard_ms` and `db_ms` say where."),
    "stopping": Reason("503", "The process is about to end (only /readyz says so)."),
}


def meaning_of(error: ServiceError) -> str:
    """The sentence for an error, as the continuation of another: no capital of its own, no full stop."""
    meaning = REASONS[error.reason].meaning.removesuffix(".")
    return meaning[0].lower() + meaning[1:] if meaning.startswith(("A ", "The ", "There ", "What ")) else meaning
