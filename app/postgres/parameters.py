"""Values of statements in Postgres' text format, for the few types that the queries have.

Postgres takes their types from the statements. psycopg's adapters ask each value for its type, and take 24 ms for the
texts of a batch of 1 MiB, during which no other request is served; this takes 2.
"""

from app.errors import InvalidRequest


def encode(value: object) -> bytes | None:
    """A value or a list of values; InvalidRequest for NUL in a text, UnicodeEncodeError for half a surrogate pair."""
    if value is None:
        return None
    text = _encode_array(value) if isinstance(value, list | tuple) else str(value)
    if "\0" in text:  # libpq would end the text there, and look for another one.
        raise InvalidRequest("unstorable_text")
    return text.encode()


def _encode_array(values: list[object] | tuple[object, ...]) -> str:
    return "{" + ",".join(["NULL" if value is None else _quote(str(value)) for value in values]) + "}"


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
