"""Query parameters, and keyset cursors: base64 of the position at which the page before ended.

A cursor holds no secret and gives no right: every query filters by the owner, so a cursor of another list reads a page
of the caller's own. Only the one spelling that is handed out is taken.
"""

import base64
import re
import struct
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

from starlette.types import Scope

from app.api.members import SEARCH_LENGTH
from app.chat.models import SLUG, SLUG_LENGTH, STATUSES, Message, Session, SessionCursor
from app.clerk.users import EPOCH
from app.errors import Fault, InvalidRequest
from app.postgres.text import storable_text

_PARAMETERS = 20
# All that are read, of any route. Another name is the caller's own, and may be personal.
NAMES = frozenset({"limit", "q", "cursor", "status", "include_inactive", "before"})
# A byte that is no UTF-8, as surrogateescape has it.
_undecoded = re.compile("[\udc80-\udcff]").search

# Microseconds since 1970 and a UUID; a message's position.
_SESSION = struct.Struct(">q16s")
_MESSAGE = struct.Struct(">q")
_MICROSECOND = timedelta(microseconds=1)

_is_slug = re.compile(SLUG, re.ASCII).fullmatch

# The same grammars for the OpenAPI document.
LIMIT = {"type": "integer", "minimum": 1}
SEARCH = {"type": "string", "maxLength": SEARCH_LENGTH}
SESSION_CURSOR = {"type": "string", "pattern": "^[A-Za-z0-9_-]{32}$"}
SCENARIO_CURSOR = {"type": "string", "pattern": f"^{SLUG}$", "maxLength": SLUG_LENGTH}
MESSAGE_CURSOR = {"type": "string", "pattern": "^[A-Za-z0-9_-]{10}[AEIMQUYcgkosw048]$"}


class Query:
    """The query parameters of a request; InvalidRequest for one that cannot be used. Unknown ones are ignored."""

    def __init__(self, scope: Scope) -> None:
        text = scope["query_string"].decode("ascii", "surrogateescape")
        try:
            self._pairs = parse_qsl(text, keep_blank_values=True, errors="surrogateescape", max_num_fields=_PARAMETERS)
        except ValueError:
            raise InvalidRequest("query", Fault()) from None
        if faults := list(_find_undecoded(self._pairs)):
            raise InvalidRequest("query", *faults)

    def limit(self, *, default: int, maximum: int) -> int:
        text = self._get("limit")
        if text is None:
            return default
        if not re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) or not 1 <= int(text) <= maximum:
            raise InvalidRequest("limit", Fault(parameter="limit"))
        return int(text)

    def search(self) -> str | None:
        """`q` without NUL, which stands in no stored text; None when it is missing or empty."""
        given = self._get("q") or ""
        text = storable_text(given)
        if len(text) > SEARCH_LENGTH or (given and not text):
            raise InvalidRequest("q", Fault(parameter="q"))
        return text or None

    def session_cursor(self) -> SessionCursor | None:
        text = self._get("cursor")
        return None if text is None else decode_session_cursor(text, Fault(parameter="cursor"))

    def scenario_cursor(self) -> str | None:
        """The last slug of the page before."""
        slug = self._get("cursor")
        if slug is not None and (len(slug) > SLUG_LENGTH or not _is_slug(slug)):
            raise InvalidRequest("cursor", Fault(parameter="cursor"))
        return slug

    def statuses(self) -> list[str] | None:
        """Statuses with commas between; None without any, for all of them."""
        text = self._get("status")
        if text is None:
            return None
        statuses = text.split(",")
        if not set(statuses) <= set(STATUSES):
            raise InvalidRequest("status", Fault(parameter="status"))
        return sorted(set(statuses))

    def flag(self, name: str) -> bool:
        """`true` or `false`, which is what a missing one is."""
        text = self._get(name)
        if text not in (None, "true", "false"):
            raise InvalidRequest(name, Fault(parameter=name))
        return text == "true"

    def message_cursor(self) -> int | None:
        text = self._get("before")
        return None if text is None else int(_decode(_MESSAGE, text, Fault(parameter="before"))[0])

    def _get(self, name: str) -> str | None:
        values = [value for key, value in self._pairs if key == name]
        if len(values) > 1:
            raise InvalidRequest(name, Fault("stands more than once", parameter=name))
        return values[0] if values else None


def _find_undecoded(pairs: Iterable[tuple[str, str]]) -> Iterator[Fault]:
    for name, value in pairs:
        if _undecoded(name) or _undecoded(value):
            yield Fault(parameter=name if name in NAMES else None)


def decode_session_cursor(text: str, place: Fault) -> SessionCursor:
    """InvalidRequest, at this place, for anything but what `encode_session_cursor` has written."""
    microseconds, session_id = _decode(_SESSION, text, place)
    try:
        return SessionCursor(EPOCH + microseconds * _MICROSECOND, UUID(bytes=session_id))
    except OverflowError:
        raise InvalidRequest("cursor", place) from None


def encode_session_cursor(last: Session) -> str:
    """The cursor behind the last session of a page."""
    return _encode(_SESSION, (last.last_active_at - EPOCH) // _MICROSECOND, last.session_id.bytes)


def encode_message_cursor(earliest: Message) -> str:
    """The cursor before the earliest message of a page."""
    return _encode(_MESSAGE, earliest.position)


def _encode(layout: struct.Struct, *values: int | bytes) -> str:
    return base64.urlsafe_b64encode(layout.pack(*values)).rstrip(b"=").decode()


def _decode(layout: struct.Struct, text: str, place: Fault) -> tuple[Any, ...]:
    try:
        values = layout.unpack(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, struct.error):
        raise InvalidRequest("cursor", place) from None
    if _encode(layout, *values) != text:
        raise InvalidRequest("cursor", place)
    return values
