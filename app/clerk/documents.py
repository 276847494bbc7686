"""JSON as Clerk sends it: strict about what identifies a user, tolerant of what users put into their metadata.

A user's own browser writes `unsafe_metadata`, up to 8 KB of any JSON. So a number that Python cannot hold, a key that
stands twice and arrays in arrays by the thousand are Clerk's to send, and none of them may cost a user the row. Bodies
of our own API are read strictly: app.http.requests.
"""

import json
import math
import re
from typing import Any

from app.errors import Fault, InvalidRequest

# What tells which event this is and which user it is about; standing twice, it tells nothing.
IDENTIFYING = ("type", "instance_id", "data", "user", "id")
# Nothing that is read lies deeper. The limit counts only where Python's own parser gives up, in 3.11 and 3.12 below
# 1,000 levels.
DEPTH = 32
# More than 8 KB of metadata can hold.
MOST_DEPTH = 10_000
# A longer number is no timestamp, and Python refuses to read one of over 4,300 digits.
DIGITS = 32

# The whitespace of JSON; str.strip() would take more.
_WHITESPACE = " \t\n\r"
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def read_document(body: bytes) -> Any:
    """The JSON document in UTF-8; InvalidRequest if it is none.

    A number that Python cannot hold is None, an identifying key that stands twice as well; of any other key that stands
    twice, the last value counts, as for Clerk's own parsers. What is nested too deeply to be read is None.
    """
    try:
        text = body.decode().strip(_WHITESPACE)
        try:
            return _decode(text)
        except RecursionError:
            return _decode(_without_depths(text))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("json", Fault(pointer="#")) from error


def _decode(text: str) -> Any:
    document, end = _DECODER.raw_decode(text)
    if end != len(text):
        raise ValueError("text behind the document")
    return document


def _without_depths(text: str) -> str:
    """The document with null for each array and object below DEPTH; ValueError where brackets do not match."""
    kept: list[str] = []
    closing: list[str] = []
    begin = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        mark = match[0]
        if mark in "[{":
            closing.append("]" if mark == "[" else "}")
            if len(closing) == DEPTH + 1:
                kept.append(text[begin : match.start()] + "null")
            elif len(closing) > MOST_DEPTH:
                raise ValueError("nested too deeply")
        elif mark in "]}":
            if not closing or closing.pop() != mark:
                raise ValueError("brackets do not match")
            if len(closing) == DEPTH:
                begin = match.end()
    return "".join(kept) + text[begin:]


def _read_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        members |= {name: None for name in IDENTIFYING if names.count(name) > 1}
    return members


def _read_float(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _read_int(digits: str) -> int | None:
    return int(digits) if len(digits) <= DIGITS else None


def _refuse(constant: str) -> None:
    raise ValueError(constant)


# NaN and Infinity are not JSON.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_read_members, parse_constant=_refuse, parse_float=_read_float, parse_int=_read_int
)
