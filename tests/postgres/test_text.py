"""Text that Postgres can store: what is taken out, and what is put in its place."""

import json
from typing import Any

import psycopg
import pytest

from app.postgres.text import make_storable, storable_text

TEXTS = {
    "plain": ("abc", "abc"),
    "empty": ("", ""),
    "a whole emoji": ("a\U0001f600", "a\U0001f600"),
    "half an emoji at the end": ("a\ud83d", "a\ufffd"),
    "half an emoji at the beginning": ("\ude00a", "\ufffda"),
    "half an emoji before a letter": ("\ud83dä", "\ufffdä"),
    "two first halves and a second": ("\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
    "halves the wrong way round": ("\ude00\ud83d", "\ufffd\ufffd"),
    "NUL": ("a\0b", "ab"),
    "only NUL": ("\0\0", ""),
    "NUL among other alphabets": ("ä\0ö", "äö"),
    "NUL in an emoji": ("\ud83d\0\ude00", "\U0001f600"),
    "noncharacters and controls": ("\ufffe\uffff\x01\x7f\u200b", "\ufffe\uffff\x01\x7f\u200b"),
}


@pytest.mark.parametrize(("text", "stored"), TEXTS.values(), ids=TEXTS.keys())
def test_a_text_is_made_storable(text: str, stored: str, database: psycopg.Connection[Any]) -> None:
    """Postgres stores it as text and inside JSON."""
    storable = storable_text(text)

    assert storable == stored
    query = "SELECT %s::TEXT AS text, (%s::JSONB) ->> 0 AS member"
    assert database.execute(query, [storable, json.dumps([storable])]).fetchone() == {"text": stored, "member": stored}


def test_all_texts_of_a_document_are_made_storable() -> None:
    """Keys too, at any depth; other values stay."""
    document: dict[str, object] = {"a\0": ["\ud83d", {"\ude00": [None, 1, 0.5, True, [["\0"]]]}], "b": "ä"}

    make_storable(document)

    assert document == {"a": ["\ufffd", {"\ufffd": [None, 1, 0.5, True, [[""]]]}], "b": "ä"}


def test_a_document_may_be_nested_deeper_than_python_can_call() -> None:
    document: dict[str, object] = {}
    inner: list[object] = ["\0"]
    for _ in range(100_000):
        inner = [inner]
    document["a"] = inner

    make_storable(document)


@pytest.mark.parametrize("keys", [("a", "a\0"), ("ä\0", "\0ä"), ("\ud83d", "\ufffd")], ids=ascii)
def test_two_keys_that_would_become_one_are_refused(keys: tuple[str, str]) -> None:
    """One of the two values would be lost."""
    document: dict[str, object] = {"a": [dict.fromkeys(keys, 1)]}

    with pytest.raises(ValueError, match="two keys"):
        make_storable(document)
