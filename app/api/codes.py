"""The codes that each kind of operation can answer with, by status; what one operation adds is declared above it.

A code is a reason of `app.reasons`, told to callers who are let in. Statuses without codes say no more than their
number.
"""

from collections.abc import Iterable, Mapping, Sequence

from app.reasons import REASONS

Codes = Mapping[int, Sequence[str]]

# Of operations that ask Postgres.
DATABASE = ["deadline", "saturated", "lock_timeout", "schema_missing"]
DATABASE += [code for code in REASONS if code.startswith("database_")]
# Of those that make or delete something at Backboard, and of those that ask Clerk about a new user.
BACKBOARD = ["provisioning_saturated", "attempt_missing", "assistant_missing"]
BACKBOARD += [code for code in REASONS if code.startswith("backboard_")]
CLERK = ["clerk_unreachable", "clerk_throttled", "clerk_error", "clerk_unreadable", "clerk_refused"]

# Of those that take metadata or preferences, and of those that add members to them.
DOCUMENT = ["document_too_large", "too_deep", "too_many_digits"]
MERGED_DOCUMENT = [*DOCUMENT, "document_full"]

# HTTP's own, before a caller is known; nothing but the status is told.
ANY: Codes = {400: [], 405: [], 431: []}
# The keys of session tokens may be out of reach, which is told without a code too.
BY_TOKEN: Codes = {401: [], 429: ["rate_limited"], 503: DATABASE}
BY_BODY: Codes = {
    408: ["body_timeout"],
    413: ["too_large"],
    415: ["content_type"],
    422: ["json", "shape", "too_many_values", "unstorable_text"],
    503: ["large_bodies"],
}
# A body of a stranger's is read before its signature can be verified.
BY_PUBLIC_BODY: Codes = {408: [], 413: [], 415: [], 503: []}
BY_PATH: Mapping[str, Codes] = {
    "clerk_id": {404: ["other_user"], 410: ["deleted"], 422: ["clerk_id"]},
    # A line end is in no path of the router's.
    "slug": {404: [], 422: ["slug"]},
    "session_id": {404: ["missing"], 410: ["deleted"]},
    "message_id": {404: ["message_missing"]},
}


def by_parameters(parameters: Iterable[tuple[str, str]]) -> Codes:
    """Of parameters, as (where, name): each that has a reason of its own name, and the query string as a whole."""
    codes: list[str] = []
    for where, name in parameters:
        own = name.lower().replace("-", "_")
        codes += [own] if own in REASONS else []
        codes += ["query"] if where == "query" else []
    return {422: codes} if codes else {}


def joined(*parts: Codes) -> dict[int, list[str]]:
    """All codes of some parts, each once, in the order of `app.reasons`."""
    statuses = sorted({status for part in parts for status in part})
    wanted = {status: {code for part in parts for code in part.get(status, ())} for status in statuses}
    return {status: [code for code in REASONS if code in codes] for status, codes in wanted.items()}
