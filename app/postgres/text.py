"""Text that Postgres can store: every character of Unicode but NUL, and no half of a surrogate pair."""

import re

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
