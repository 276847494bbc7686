"""Backboard's responses, read strictly: what a status means for a create, assistants, threads, pages."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeVar
from uuid import UUID

from app.errors import OutcomeUnknown, Rejected, Throttled
from app.http.client import HttpResponse, seconds_to_wait

# Seconds; Backboard may ask us to wait for longer, but our callers are told no more than this.
LONGEST_WAIT = 30


@dataclass(frozen=True, slots=True)
class Assistant:
    """An assistant at Backboard. `id` is a UUID in lower case; `created_at` is for ordering, and may be a guess."""

    id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread at Backboard; it may have messages although a listing shows none."""

    id: str
    created_at: datetime
    has_messages: bool


Listed = TypeVar("Listed", Assistant, Thread)


def raise_for_status(response: HttpResponse) -> None:
    """Raise for every status but 200, 201, 202 and 204.

    5xx, 408 and 409 leave open whether a create was done: for other endpoints of Backboard, a 500 after the commit has
    been reported.
    """
    status = response.status
    if status in (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT):
        return
    wait = seconds_to_wait(response.retry_after, longest=LONGEST_WAIT)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise Throttled(retry_after=wait)
    is_refusal = HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    if is_refusal and status not in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT):
        raise Rejected(status)
    raise OutcomeUnknown(retry_after=wait)


def is_not_found(response: HttpResponse) -> bool:
    """Whether this is Backboard's own 404, `{"detail": string}`, and not a gateway's."""
    if response.status != HTTPStatus.NOT_FOUND:
        return False
    try:
        document = read_json(response)
    except OutcomeUnknown:
        return False
    return isinstance(document, dict) and isinstance(document.get("detail"), str)


def add_page(listed: dict[str, Listed], page: list[Listed]) -> None:
    """Add a page to `listed`, by id; OutcomeUnknown when the page has nothing new, since `skip` was ignored then."""
    before = len(listed)
    listed |= {one.id: one for one in page}
    if page and len(listed) == before:
        raise OutcomeUnknown("backboard_listing_repeats")


def read_json(response: HttpResponse) -> Any:
    try:
        return json.loads(response.body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise OutcomeUnknown("backboard_unreadable") from error


def _refuse_constant(constant: str) -> None:
    raise ValueError(constant)


def read_assistant(item: Any) -> Assistant:
    """An assistant; OutcomeUnknown when a field that is needed is missing or malformed."""
    try:
        return Assistant(str(UUID(item["assistant_id"])), _text(item["name"]), _time(item.get("created_at")))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise OutcomeUnknown("backboard_unreadable") from error


def read_thread(item: Any) -> Thread:
    """A thread, read like an assistant."""
    try:
        created_at = _time(item.get("created_at"))
        return Thread(str(UUID(item["thread_id"])), created_at, has_messages=bool(item.get("messages")))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise OutcomeUnknown("backboard_unreadable") from error


def read_memory_count(document: Any) -> int:
    """How many memories a page of them is one of; OutcomeUnknown when it does not say so."""
    count = document.get("total_count") if isinstance(document, dict) else None
    if type(count) is not int:
        raise OutcomeUnknown("backboard_unreadable")
    return count


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _time(value: object) -> datetime:
    """Backboard's timestamp. A naive one is UTC; a malformed one counts as the youngest."""
    try:
        time = datetime.fromisoformat(_text(value))
    except (TypeError, ValueError):
        return datetime.max.replace(tzinfo=UTC)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
