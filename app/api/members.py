"""The members of request bodies that hold text or JSON of the chat's own: bounded, and made storable for Postgres."""

import json
import re
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from app.chat.models import SLUG, SLUG_LENGTH
from app.http.requests import LongInteger
from app.postgres.text import make_storable, storable_text

_Storable = BeforeValidator(lambda value: storable_text(value) if isinstance(value, str) else value)
# What is not seen: controls, blanks of every width, joiners, fillers, variation selectors, tags.
_UNSEEN = (
    r"\x00-\x20\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f"
    r"\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb" + "\U000e0000-\U000e0fff"
)
TITLE_PATTERN = rf"^[^\x01-\x1f\x7f]*[^{_UNSEEN}][^\x01-\x1f\x7f]*$"
# One line in which there is something to see.
Title = Annotated[
    str,
    Field(strict=True, min_length=1, max_length=200, pattern=TITLE_PATTERN),
    _Storable,
]
# RFC 9562, in its one spelling; pydantic alone would take several.
_is_uuid = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch


def _read_id(value: object) -> UUID:
    if not isinstance(value, str) or not _is_uuid(value):
        raise PydanticCustomError("uuid_parsing", "Input should be a UUID")
    return UUID(value)


Id = Annotated[UUID, BeforeValidator(_read_id)]
Content = Annotated[str, Field(strict=True, min_length=1, max_length=100_000), _Storable]
# What a search looks for.
SEARCH_LENGTH = 200
SearchText = Annotated[str, Field(strict=True, min_length=1, max_length=SEARCH_LENGTH), _Storable]
# JSON has one kind of number: 20.0 is as whole as 20.
_Whole = BeforeValidator(lambda value: int(value) if isinstance(value, float) and value.is_integer() else value)
PageSize = Annotated[int, Field(strict=True, ge=1, le=100), _Whole]
# Of scenarios. A model's name is what Backboard takes as `model_name`.
Slug = Annotated[str, Field(strict=True, max_length=SLUG_LENGTH, pattern=f"^{SLUG}$")]
Description = Annotated[str, Field(strict=True, min_length=1, max_length=2000), _Storable]
SystemPrompt = Annotated[str, Field(strict=True, min_length=1, max_length=16_000), _Storable]
ModelName = Annotated[str, Field(strict=True, min_length=1, max_length=200, pattern="^[!-~]+$")]
# Of metadata and preferences. Postgres has the same bound, for the text that it writes itself.
DOCUMENT_BYTES = 16 * 1024
DOCUMENT_DEPTH = 100
# What Python writes in another way than Postgres: a number with an exponent, and the negative zero. And a string, which
# may hold what looks like one.
_OTHERWISE = re.compile(r'"(?:[^"\\]++|\\.)*+"|-?[0-9.]+e[-+][0-9]+|-0\.0(?![0-9])')


def write_document(document: dict[str, Any]) -> str:
    """As Postgres writes it, but for the order of keys; PydanticCustomError for an integer that is too long."""
    return _write_out(_dump(document))


def _dump(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, default=_refuse)


def _write_out(text: str) -> str:
    """Numbers in full, which makes them longer."""
    return _OTHERWISE.sub(_write_number, text) if "e-" in text or "e+" in text or "-0.0" in text else text


def _write_number(match: re.Match[str]) -> str:
    text = match[0]
    return text if text.startswith('"') else "0.0" if text == "-0.0" else f"{Decimal(text):f}"


def _refuse(value: object) -> None:
    if isinstance(value, LongInteger):
        raise PydanticCustomError("too_many_digits", "an integer may have at most 309 digits")
    raise TypeError(type(value).__name__)


def _make_storable(document: object) -> object:
    if isinstance(document, dict):
        try:
            make_storable(document)
        except ValueError:
            raise PydanticCustomError("same_keys", "must not have two keys that differ only in NUL") from None
    return document


def _check_document(document: dict[str, Any]) -> dict[str, Any]:
    level: list[Any] = [document]
    for _ in range(DOCUMENT_DEPTH):
        children = (child for one in level for child in (one.values() if isinstance(one, dict) else one))
        level = [child for child in children if isinstance(child, dict | list)]
        if not level:
            break
    else:
        raise PydanticCustomError("too_deep", "must be nested at most 100 deep")
    text = _dump(document)
    # A text in which numbers would fill memory is too large without them.
    if len(text) > 2 * DOCUMENT_BYTES or len(_write_out(text).encode()) > DOCUMENT_BYTES:
        raise PydanticCustomError("document_too_large", "must have at most 16 KiB")
    return document


Document = Annotated[dict[str, Any], BeforeValidator(_make_storable), AfterValidator(_check_document)]
