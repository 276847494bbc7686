"""Cursors of the page: the key of a page's last row as one word of an address."""

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime

import orjson

from app.errors import InvalidRequest
from app.ops.models import DeliveryCursor
from app.postgres.text import storable_text

LONGEST_CURSOR = 800
MOST_PARTS = 8


def write_cursor(key: Sequence[str]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(list(key))).decode().rstrip("=")


def read_cursor(word: str | None) -> list[str] | None:
    """The key; None without a cursor, InvalidRequest for one that `write_cursor` has not written."""
    if word is None:
        return None
    try:
        if len(word) > LONGEST_CURSOR:
            raise InvalidRequest("cursor")
        key = orjson.loads(base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("cursor") from error
    is_key = isinstance(key, list) and 0 < len(key) <= MOST_PARTS and all(isinstance(one, str) for one in key)
    if not is_key or any(storable_text(one) != one for one in key):
        raise InvalidRequest("cursor")
    return [str(one) for one in key]


def read_delivery_cursor(word: str | None) -> DeliveryCursor | None:
    """The place in the list of deliveries; InvalidRequest for another's cursor."""
    key = read_cursor(word)
    if key is None:
        return None
    try:
        last_at, svix_id = key
        at = datetime.fromisoformat(last_at)
    except ValueError as error:
        raise InvalidRequest("cursor") from error
    if at.tzinfo is None:
        raise InvalidRequest("cursor")
    return DeliveryCursor(at, svix_id)
