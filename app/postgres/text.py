"""Text that Postgres can store: every character of Unicode but NUL, and no half of a surrogate pair."""

import re
from unicodedata import category, combining

# Unicode's annex 15, "Stream-Safe Text Format": no text in earnest has more marks on one letter.
MOST_MARKS = 30
# COMBINING GRAPHEME JOINER. It is not seen, and marks are not sorted across it.
_JOINER = "\u034f"
# Runs in which too many marks may stand. Latin, Greek, Cyrillic, most of CJK and Hangul, which are left out, have none.
_may_hold_marks = re.compile(f"[^\x00-\u02ff\u0370-\u0482\u309b-\ua66e\uac00-\ufb1d]{{{MOST_MARKS + 1},}}").sub
_replace_halves = re.compile("[\ud800-\udfff]").sub


def storable_text(text: str) -> str:
    """Take NUL out, and put U+FFFD in the place of half a surrogate pair.

    JavaScript sends half a pair where it cuts a text through an emoji, as every answer that is streamed may be cut.
    """
    if text.isascii():
        return text.replace("\0", "")
    # Two halves that stood on either side of a NUL are a pair now, and become one character.
    whole = text.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return _replace_halves("\ufffd", whole)


def stream_safe_text(text: str) -> str:
    """Put a joiner behind every 30 marks in a row.

    Postgres sorts marks when it normalizes a text, in the square of their number and deaf to every timeout: 40,000 of
    them take it more than ten seconds.
    """
    return text if text.isascii() else _may_hold_marks(_break_marks, text)


def _break_marks(run: re.Match[str]) -> str:
    pieces, marks = [], 0
    for character in run[0]:
        # What this Unicode has not assigned may be a mark in that of the server.
        is_mark = combining(character) or category(character) == "Cn"
        marks = marks + 1 if is_mark else 0
        if marks > MOST_MARKS:
            pieces.append(_JOINER)
            marks = 1
        pieces.append(character)
    return "".join(pieces)


def make_storable(document: dict[str, object]) -> None:
    """Make all texts of a JSON document storable, in their place.

    Raises ValueError if two keys of an object become one. Without recursion: a document may be nested deeply.
    """
    containers: list[object] = [document]
    while containers:
        container = containers.pop()
        if isinstance(container, list):
            container[:] = [_storable(one) for one in container]
            containers += container
        elif isinstance(container, dict):
            members = {storable_text(key): _storable(value) for key, value in container.items()}
            if len(members) != len(container):
                raise ValueError("two keys differ only in what cannot be stored")
            container.clear()
            container.update(members)
            containers += members.values()


def _storable(value: object) -> object:
    return storable_text(value) if isinstance(value, str) else value
