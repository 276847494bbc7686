"""What stands behind the question mark: how many, what to look for, and cursors that nobody need understand."""

import base64
import binascii
import re
import struct
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from urllib.parse import parse_qsl
from uuid import UUID

from starlette.types import Scope

from app.chat.models import SessionCursor
from app.clerk.users import EPOCH
from app.errors import InvalidRequest

TEXT_LENGTH = 200
_FIELDS = 20

_CURSOR = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PLACE = struct.Struct(">q16s")
_POSITION = struct.Struct(">q")
_MICROSECOND = timedelta(microseconds=1)

# A cursor ends in a checksum, over whose list it belongs to as well: one that was changed or comes from another list is
# refused. It guards from mistakes and keeps nothing secret; whoever uses a cursor sees only what is theirs anyway.
_CHECK_BYTES = 8

# A cursor that somebody made up may name a moment beyond all moments, which is as good as the last one.
_EARLIEST, _LATEST = (
    (moment - EPOCH) // _MICROSECOND for moment in (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))
)


class Query:
    """The parameters of a request; InvalidRequest for one that cannot be used. What nobody asked for does not count."""

    def __init__(self, scope: Scope) -> None:
        try:
            text = scope["query_string"].decode("ascii")
            pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_FIELDS)
        except ValueError:
            raise InvalidRequest("query") from None
        self._values = dict(pairs)
        self._names = [name for name, _ in pairs]

    def number(self, name: str, *, default: int, most: int) -> int:
        """From 1 to `most`."""
        text = self._get(name)
        if text is None:
            return default
        if not re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) or not 1 <= int(text) <= most:
            raise InvalidRequest(name)
        return int(text)

    def text(self, name: str) -> str | None:
        """What to look for; None when there is nothing."""
        text = self._get(name) or None
        if text is not None and (len(text) > TEXT_LENGTH or "\0" in text):
            raise InvalidRequest(name)
        return text

    def place(self, name: str, *, of: str) -> SessionCursor | None:
        """Where the last page of this user's sessions ended."""
        text = self._get(name)
        if text is None:
            return None
        microseconds, session_id = _unpack(_PLACE, text, of)
        return SessionCursor(
            EPOCH + timedelta(microseconds=min(max(microseconds, _EARLIEST), _LATEST)), UUID(bytes=session_id)
        )

    def position(self, name: str, *, of: str) -> int | None:
        """Where the last page of this session's messages ended."""
        text = self._get(name)
        return None if text is None else int(_unpack(_POSITION, text, of)[0])

    def _get(self, name: str) -> str | None:
        if self._names.count(name) > 1:
            raise InvalidRequest(name)
        return self._values.get(name)


def cursor_of_place(place: SessionCursor, *, of: str) -> str:
    """`of` is the user whose sessions are listed."""
    return _pack(_PLACE, of, (place.last_active_at.astimezone(UTC) - EPOCH) // _MICROSECOND, place.session_id.bytes)


def cursor_of_position(position: int, *, of: str) -> str:
    """`of` is the session whose messages are listed."""
    return _pack(_POSITION, of, position)


def _pack(shape: struct.Struct, of: str, *values: int | bytes) -> str:
    packed = shape.pack(*values)
    check = blake2b(of.encode() + packed, digest_size=_CHECK_BYTES).digest()
    return base64.urlsafe_b64encode(packed + check).rstrip(b"=").decode()


def _unpack(shape: struct.Struct, text: str, of: str) -> tuple[int, bytes]:
    """Only what was given out for that list, in its one spelling."""
    if not _CURSOR.fullmatch(text):
        raise InvalidRequest("cursor")
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        values = shape.unpack(packed[:-_CHECK_BYTES])
    except (binascii.Error, struct.error):
        raise InvalidRequest("cursor") from None
    if _pack(shape, of, *values) != text:
        raise InvalidRequest("cursor")
    return values[0], values[-1]
