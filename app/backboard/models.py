"""What Backboard answers, read strictly: a status that says no or perhaps, a body that is an assistant or is not."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from app.errors import OutcomeUnknown, Rejected, Throttled
from app.http.client import HttpResponse, seconds_to_wait

# However long Backboard asks us to wait, whoever asked us comes again within this many seconds.
LONGEST_WAIT = 30


@dataclass(frozen=True, slots=True)
class Assistant:
    """An assistant at Backboard. `id` is a UUID in lower case; `created_at` orders, and may be a guess."""

    id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation at Backboard; `is_empty` only where it surely is."""

    id: str
    created_at: datetime
    is_empty: bool


Listed = TypeVar("Listed", Assistant, Thread)


def raise_for_status(answer: HttpResponse) -> None:
    """Raise what a status that is not 200 or 201 means for a create.

    Any 5xx, 408 and 409 leave it open whether the work was done: a 500 after the commit has been reported for
    other endpoints of Backboard.
    """
    status = answer.status
    if status in (200, 201):
        return
    if status == 429:  # noqa: PLR2004  # HTTP's own number.
        raise Throttled(retry_after=seconds_to_wait(answer.retry_after, longest=LONGEST_WAIT))
    if status >= 500 or status in (408, 409) or status < 300:  # noqa: PLR2004  # HTTP's own numbers.
        raise OutcomeUnknown(retry_after=seconds_to_wait(answer.retry_after, longest=LONGEST_WAIT))
    raise Rejected(status)


def is_not_found(answer: HttpResponse) -> bool:
    """Whether this is Backboard's own 404, `{"detail": string}`, and not a gateway's."""
    if answer.status != 404:  # noqa: PLR2004  # HTTP's own number.
        return False
    try:
        document = read_json(answer)
    except OutcomeUnknown:
        return False
    return isinstance(document, dict) and isinstance(document.get("detail"), str)


def add_page(listed: dict[str, Listed], page: list[Listed]) -> None:
    """Add a page to what is listed by id; OutcomeUnknown when nothing in it is new, since `skip` was ignored then."""
    before = len(listed)
    listed |= {one.id: one for one in page}
    if page and len(listed) == before:
        raise OutcomeUnknown("backboard_listing_repeats")


def read_json(answer: HttpResponse) -> Any:
    try:
        return json.loads(answer.body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise OutcomeUnknown("backboard_unreadable") from error


def _refuse_constant(constant: str) -> None:
    raise ValueError(constant)


def read_assistant(item: Any) -> Assistant:
    """Read only what is needed, and nothing that is not exactly so."""
    try:
        return Assistant(str(UUID(item["assistant_id"])), _text(item["name"]), _time(item.get("created_at")))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise OutcomeUnknown("backboard_unreadable") from error


def read_thread(item: Any) -> Thread:
    """As read_assistant; a thread that does not show its messages may have some."""
    try:
        created_at = _time(item.get("created_at"))
        return Thread(str(UUID(item["thread_id"])), created_at, is_empty=item.get("messages") == [])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise OutcomeUnknown("backboard_unreadable") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _time(value: object) -> datetime:
    """Backboard's timestamp; naive ones are UTC, and an unreadable one counts as the youngest."""
    try:
        time = datetime.fromisoformat(_text(value))
    except (TypeError, ValueError):
        return datetime.max.replace(tzinfo=UTC)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
