"""The filters of the list of deliveries: read from an address, and written into others."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from app.clerk.users import CLERK_ID
from app.errors import InvalidRequest
from app.ops.models import DeliveryFilter
from app.postgres.text import storable_text

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_AGE = re.compile(r"([0-9]{1,5})([mhd])")
_STATUS = re.compile(r"[1-5][0-9]{2}")
# In the order of the page; `clerk_id` comes from a user's page.
NAMES = ("failing", "type", "outcome", "reason", "status", "since", "until", "clerk_id")
AGES = {"1h": "last hour", "24h": "last 24 hours", "7d": "last 7 days"}


@dataclass(frozen=True, slots=True)
class Filters:
    """`words` are those of the address, by name; `wanted` is what they mean now."""

    words: Mapping[str, str]
    wanted: DeliveryFilter

    def link(self, **changed: str | None) -> str:
        """The address of the list with some filters changed, None for without; it begins with the newest again."""
        words = {name: word for name, word in (dict(self.words) | changed).items() if word is not None}
        query = urlencode({name: words[name] for name in NAMES if name in words})
        return "/ops/deliveries" + (f"?{query}" if query else "")

    def next_link(self, cursor: str) -> str:
        """The address of the next page."""
        return "/ops/deliveries?" + urlencode({**self.words, "cursor": cursor})


def read_filters(query: Mapping[str, str]) -> Filters:
    """InvalidRequest for a filter that means nothing."""
    words = {name: storable_text(query[name]) for name in NAMES if name in query}
    clerk_id, status = words.get("clerk_id"), words.get("status")
    if clerk_id is not None and not CLERK_ID.fullmatch(clerk_id):
        raise InvalidRequest("clerk_id")
    if status is not None and not _STATUS.fullmatch(status):
        raise InvalidRequest("ops_filter")
    if words.get("failing", "1") != "1":
        raise InvalidRequest("ops_filter")
    wanted = DeliveryFilter(clerk_id=clerk_id, status=None if status is None else int(status))
    wanted = replace(wanted, type=words.get("type"), outcome=words.get("outcome"), reason=words.get("reason"))
    wanted = replace(
        wanted, failing="failing" in words, since=_time(words.get("since")), until=_time(words.get("until"))
    )
    return Filters(words, wanted)


def _time(word: str | None) -> datetime | None:
    """`2h` before now, or a time as in RFC 3339; InvalidRequest for anything else."""
    if word is None:
        return None
    if match := _AGE.fullmatch(word):
        return datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        # A plus sign of an address that was typed is a blank.
        at = datetime.fromisoformat(word.replace(" ", "+"))
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest("ops_filter") from error
