"""What the campaign decides about messages: each acknowledged one is there, once, whole and in its order."""

from dataclasses import dataclass, field, replace

import pytest

from tools.chaos.history import APPEND, OPEN, PAGE, READ, Operation, Result
from tools.chaos.message_checker import check_messages

USER, SESSION = "user_1", "session_1"


def operation(kind: str, began: float, *texts: str, result: Result = "ok") -> Operation:
    """It takes a tenth of a second."""
    return Operation(kind, USER, result, 0, began, 0.1, session_id=SESSION, texts=texts)


@dataclass
class Books:
    """Two appends that were acknowledged, one without an answer, and two readers."""

    operations: list[Operation] = field(
        default_factory=lambda: [
            operation(OPEN, 9),
            operation(APPEND, 10, "a"),
            operation(READ, 10.5, "a"),
            operation(APPEND, 11, "b", "c"),
            operation(APPEND, 11.5, "d", "e", result="unknown"),
            operation(READ, 12, "a", "b", "c"),
        ]
    )
    stored: dict[str, list[str]] = field(default_factory=lambda: {SESSION: ["a", "b", "c", "d", "e"]})

    def violations(self) -> set[str]:
        return {violation.kind for violation in check_messages(self.operations, self.stored)}


@pytest.mark.parametrize("stored", ["abcde", "abc", "adebc", "deabc"])
def test_an_append_without_an_answer_may_stand_or_not(stored: str) -> None:
    """Before another one as well, if it was sent before that was acknowledged."""
    books = Books(stored={SESSION: [*stored]})
    books.operations[4] = replace(books.operations[4], began=9.5)
    if stored == "deabc":
        books.operations[5] = operation(READ, 12, *stored)
        del books.operations[2]
    if stored == "adebc":
        books.operations[5] = operation(READ, 12, *"adebc")

    assert books.violations() == set()


def test_all_tries_of_an_append_are_one() -> None:
    """Under ids it stands once; it began with the first try, and the first answer counts."""
    tries = [operation(APPEND, 10, "a", result="unknown"), operation(APPEND, 12, "a"), operation(APPEND, 14, "a")]
    beside = [operation(OPEN, 9), *tries, operation(APPEND, 13, "b"), operation(APPEND, 11, "c")]

    assert Books(beside, {SESSION: [*"acb"]}).violations() == set()
    assert Books(beside, {SESSION: [*"cab"]}).violations() == set()
    assert Books(beside, {SESSION: [*"cba"]}).violations() == {"disordered"}
    assert Books(beside, {SESSION: [*"acab"]}).violations() >= {"duplicate"}
    assert Books(beside, {SESSION: [*"cb"]}).violations() == {"lost"}


def test_a_session_without_a_message_has_its_place() -> None:
    books = Books([operation(OPEN, 9), operation(READ, 10), operation(APPEND, 11, "a", result="fail")], {SESSION: []})

    assert books.violations() == set()


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        ("bcde", "lost"),
        ("abde", "lost"),
        ("abbcde", "duplicate"),
        ("abcdea", "duplicate"),
        ("abcdde", "duplicate"),
        ("abcd", "torn"),
        ("abce", "torn"),
        ("acbde", "disordered"),
        ("abced", "disordered"),
        ("abdce", "disordered"),
        ("bcade", "disordered"),
        ("adebc", "disordered"),
        ("dabce", "disordered"),
        ("abcdex", "phantom"),
    ],
)
def test_messages_that_do_not_stand_as_acknowledged_are_found(stored: str, kind: str) -> None:
    """Also what one append stores around another's, without a reader."""
    books = Books(stored={SESSION: [*stored]})
    books.operations = [one for one in books.operations if one.kind != READ]

    assert kind in books.violations()


@pytest.mark.parametrize("stored", ["adebc", "deabc"])
def test_nothing_comes_to_stand_before_what_was_read(stored: str) -> None:
    """An append that was sent before all others, and got no answer, could stand anywhere otherwise."""
    books = Books(stored={SESSION: [*stored]})
    books.operations[4] = replace(books.operations[4], began=9.5)
    books.operations.append(operation(READ, 13, "a", "b", "c"))
    del books.operations[2]

    assert "disordered" in books.violations()


def test_appends_that_overlap_may_stand_in_either_order() -> None:
    overlapping = [operation(OPEN, 9), operation(APPEND, 10, "a"), operation(APPEND, 10.05, "b")]

    assert Books(overlapping, {SESSION: ["a", "b"]}).violations() == set()
    assert Books(overlapping, {SESSION: ["b", "a"]}).violations() == set()


def test_a_message_that_was_read_may_not_go() -> None:
    """Its writer has no answer, so it may be missing; but then no reader may have seen it."""
    books = Books(stored={SESSION: [*"abc"]})
    books.operations.append(operation(READ, 13, *"abcde"))

    assert books.violations() == {"lost"}


@pytest.mark.parametrize("page", ["", "a"])
def test_a_history_without_what_was_acknowledged_before_is_found(page: str) -> None:
    books = Books()
    books.operations.append(operation(READ, 13, *page))

    assert books.violations() == {"lost"}


def test_a_whole_page_may_begin_anywhere() -> None:
    """There are earlier messages, which it does not show."""
    texts = [str(number) for number in range(PAGE + 5)]
    append, read = operation(APPEND, 10, *texts), operation(READ, 11, *texts[5:])

    assert Books([operation(OPEN, 9), append, read], {SESSION: texts}).violations() == set()


def test_a_session_that_was_acknowledged_may_not_go() -> None:
    assert Books(stored={}).violations() == {"lost"}


def test_two_sessions_under_one_key_are_found() -> None:
    books = Books()
    books.operations.append(replace(operation(OPEN, 9.5), session_id="session_2"))
    books.stored["session_2"] = []

    assert books.violations() == {"duplicate"}
