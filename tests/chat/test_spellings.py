"""The spellings of a text that Unicode counts as the same. Python reads these patterns as Postgres does."""

import re
import unicodedata
from itertools import product
from unicodedata import normalize

import pytest

from app.chat.spellings import search_pattern


def finds(searched: str, written: str) -> bool:
    return re.search(search_pattern(searched), written) is not None


def test_every_letter_is_found_in_each_of_its_forms() -> None:
    """All that Unicode takes apart, and some Hangul syllables, by each form in each; not marks that stand for marks."""
    parts = [chr(code) for code in range(0x30000) if unicodedata.decomposition(chr(code))[:1] not in ("", "<")]
    parts = [letter for letter in parts if unicodedata.category(letter) != "Mn"]
    hangul = [chr(code) for code in range(0xAC00, 0xD7A4, 97)]
    missed = [
        (searched, written)
        for letter in parts + hangul
        for searched, written in product({letter, normalize("NFC", letter), normalize("NFD", letter)}, repeat=2)
        if not finds(f"a{searched}b", f"(a{written}b)")
    ]

    assert (len(parts) > 2000, missed) == (True, [])


MIXED = {
    "a tone behind a vowel with its mark": "\u00ea\u0323",
    "the other mark first": "\u1eb9\u0302",
    "both marks behind": "e\u0302\u0323",
    "in Unicode's order": "e\u0323\u0302",
    "one character": "\u1ec7",
}


@pytest.mark.parametrize("written", MIXED.values(), ids=MIXED)
@pytest.mark.parametrize("searched", MIXED.values(), ids=MIXED)
def test_two_marks_may_stand_in_any_order_and_partly_in_the_letter(searched: str, written: str) -> None:
    assert finds(f"Vi{searched}t", f"Vi{written}t")


@pytest.mark.parametrize(
    ("searched", "written"),
    [("e\u0301", "e"), ("\u00e9", "e\u0300"), ("e\u0302\u0301", "e\u0301\u0302"), ("2", "\u00b2"), ("fi", "\ufb01")],
    ids=["without its mark", "another mark", "marks that change places", "an exponent", "a ligature"],
)
def test_what_unicode_takes_for_different_is_not_found(searched: str, written: str) -> None:
    """Two marks on the same side of a letter mean something else the other way round."""
    assert not finds(searched, written)


@pytest.mark.parametrize(
    "text", ["e" + "\u0323\u0302\u0316\u0301\u0327" * 3, "\u0301", "a\u0323", "\u212b\u0316\u0323"]
)
def test_a_text_is_found_as_it_was_written(text: str) -> None:
    """However many marks it has, and in whatever order they stand."""
    assert finds(text, f"... {text} ...")


@pytest.mark.parametrize("text", ["\u1ec7" * 200, "\u1fa7" * 200, "k" * 200, "e" + "\u0301\u0323\u0327" * 66])
def test_a_pattern_is_bounded(text: str) -> None:
    """By some forty characters for each that is searched."""
    assert len(search_pattern(text)) <= 40 * len(text)


CASES = {
    "i": "i\u0130I",
    "sigma": "\u03c3\u03c2\u03a3",
    "sharp s": "\u00df\u1e9e",
    "k": "k\u212aK",
    "s": "s\u017fS",
    "theta": "\u03b8\u03d1\u0398\u03f4",
    "micro": "\u00b5\u03bc\u039c",
    "dz with a caron": "\u01c4\u01c5\u01c6",
    "beta": "\u03b2\u03d0\u0392",
    "s with a dot": "\u1e61\u1e9b\u1e60",
    "a with a ring": "\u00e5\u212b\u00c5",
}


@pytest.mark.parametrize("letters", CASES.values(), ids=CASES)
def test_every_case_of_a_letter_is_found(letters: str) -> None:
    """Also where there are three, of which Postgres knows two."""
    missed = [pair for pair in product(letters, repeat=2) if not finds(f"a{pair[0]}b", f"(a{pair[1]}b)")]

    assert missed == []
    assert not finds(f"a{letters[0]}", "ab")
