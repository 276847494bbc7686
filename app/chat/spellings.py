"""The spellings of a text that Unicode counts as the same, as one regular expression for Postgres.

A keyboard sends `é` as one character, a phone or a file name as two. A search compares what is stored, as it was
written, with every spelling of what is searched, so nothing that is stored is normalized: that takes the square of the
number of marks on one letter (7 s for 20,000), and a message may hold 100,000.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import permutations
from unicodedata import combining, decomposition, normalize

# Letters have up to three (Vietnamese two, polytonic Greek three). Marks beyond that stay in Unicode's own order.
_MARKS_IN_ANY_ORDER = 3


def search_pattern(text: str) -> str:
    """A regular expression (for `~*`) that finds the text as it was given and in every equivalent spelling."""
    pattern = "".join(_letter_pattern(letter) for letter in _letters(text))
    return pattern if normalize("NFC", text) == text else f"(?:{re.escape(text)}|{pattern})"


def _letters(text: str) -> Iterator[str]:
    """The characters in the form NFC, each with the marks that follow it."""
    letter = ""
    for character in normalize("NFC", text):
        if letter and not combining(character) and character not in _seconds():
            yield letter
            letter = ""
        letter += character
    if letter:
        yield letter


def _letter_pattern(letter: str) -> str:
    """One letter in all of its spellings; those of its other cases too, since `~*` knows only pairs (S has two)."""
    pair = {case for case in (letter, letter.lower(), letter.upper()) if len(case) == len(letter)}
    others = {case + letter[1:] for case in _cases().get(letter[0].casefold(), ())}
    cases = pair | others
    if letter in _DOTTED:
        cases.update(_DOTTED)
    spellings = {spelling for case in cases for spelling in _spellings(case)}
    if spellings == pair and not others:
        return re.escape(letter)
    return f"(?:{'|'.join(map(re.escape, sorted(spellings)))})"


def _spellings(letter: str) -> set[str]:
    decomposed = normalize("NFD", letter)
    base, marks = decomposed[0], decomposed[1:]
    orders: Iterable[tuple[str, ...]] = permutations(marks) if len(marks) <= _MARKS_IN_ANY_ORDER else [tuple(marks)]
    spellings = {letter}
    for order in orders:
        parts = "".join((base, *order))
        if normalize("NFC", parts) == normalize("NFC", letter):
            spellings.add(parts)
            heads = [(normalize("NFD", parts[:end]), parts[end:]) for end in range(1, len(parts) + 1)]
            spellings.update(whole + tail for head, tail in heads for whole in _wholes().get(head, ()))
    return spellings


@cache
def _wholes() -> dict[str, list[str]]:
    """The characters that stand for others, by those in the form NFD; not Hangul, which NFC knows."""
    wholes: dict[str, list[str]] = {}
    for character in map(chr, range(0xC0, 0x2FA1E)):
        parts = decomposition(character)
        if parts and not parts.startswith("<"):
            wholes.setdefault(normalize("NFD", character), []).append(character)
    return wholes


# The dotted capital of Turkish is another letter to Unicode's rules, and an i to the person who searches.
_DOTTED = ("i", "I", "\u0130")


# Their capital is two letters to Python, and Postgres finds the one from the other in one direction only.
_SHARP_S = ["\u00df", "\u1e9e"]


@cache
def _cases() -> dict[str, list[str]]:
    """The letters of which more than two are the same in any case, such as the small sigmas, by that in `casefold`."""
    cases: dict[str, list[str]] = {"ss": _SHARP_S}
    for character in map(chr, range(0x41, 0x1E944)):
        folded = character.casefold()
        if len(folded) == 1 and not combining(character):
            cases.setdefault(folded, []).append(character)
    return {folded: letters for folded, letters in cases.items() if len(letters) > 2 or letters is _SHARP_S}  # noqa: PLR2004


@cache
def _seconds() -> frozenset[str]:
    """What is not a mark and yet part of a letter, such as the second half of some Indic vowels."""
    return frozenset(character for parts in _wholes() for character in parts[1:] if not combining(character))
