"""Text that Postgres can store: what is taken out, and what is put in its place."""

import json
import sys
from typing import Any
from unicodedata import category, combining

import psycopg
import pytest

from app.postgres.text import MOST_MARKS, make_storable, storable_text, stream_safe_text

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


ACUTE, GRAVE_BELOW, POINT, JOINER = "\u0301", "\u0316", "\u05b0", "\u034f"
RUNS = {
    "two marks in turn": "a" + (ACUTE + GRAVE_BELOW) * 50,
    "a text of nothing else": (GRAVE_BELOW + ACUTE) * 1000,
    "one mark": "e" + ACUTE * 100,
    "points of Hebrew": "\u05d0" + (POINT + ACUTE) * 50,
    "marks beyond the first plane": "\U0001d158" + "\U0001d165\U0001d17b" * 50,
    "what is not assigned yet": "a" + "\u1acf\u1ad0" * 50,
    "between letters": ("a" + ACUTE * 31 + "漢") * 3,
}
WHOLE = {
    "thirty marks": "a" + ACUTE * MOST_MARKS,
    "many letters with a mark each": ("e" + ACUTE) * 100,
    "Thai": "สวัสดีชาวโลก" * 10,
    "Devanagari": "नमस्ते" * 20,
    "a family": "\U0001f469\u200d\U0001f469\u200d\U0001f467" * 20,
    "CJK and Hangul": "漢字かな한글" * 20,
    "ASCII": "a" * 100,
}


@pytest.mark.parametrize("text", RUNS.values(), ids=RUNS)
def test_a_letter_has_at_most_30_marks_in_a_row(text: str) -> None:
    """A joiner stands behind them; nothing else is added and nothing is lost."""
    safe = stream_safe_text(text)

    assert safe.replace(JOINER, "") == text
    assert "".join("m" if combining(one) or category(one) == "Cn" else " " for one in safe).count("m" * 31) == 0
    assert safe.count(JOINER) <= len(text) // MOST_MARKS
    assert stream_safe_text(safe) == safe


@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE)
def test_a_text_as_people_write_stays_as_it_is(text: str) -> None:
    assert stream_safe_text(text) == text


def test_every_mark_is_known() -> None:
    """None is among the characters that are not looked at."""
    marks = [one for one in map(chr, range(sys.maxunicode + 1)) if combining(one)]

    assert len(marks) > 500
    assert [ascii(one) for one in marks if JOINER not in stream_safe_text(one * 31)] == []
